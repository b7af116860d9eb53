import { describe, expect, it, onTestFinished } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { collect, expectLogError, newEvent, newEvents, newStream } from '../../../support/events.js';
import { StandIn } from '../../../support/eventstore/stand-in.js';
import { quiet } from '../../../support/quiet.js';

async function serverWithLog(): Promise<{ server: StandIn; open: () => Promise<EventStoreLog> }> {
  const server = await StandIn.start();
  const open = async () => {
    const log = await EventStoreLog.open(readAddress(server.url), quiet);
    onTestFinished(() => log.close());
    return log;
  };
  onTestFinished(() => server.stop());
  return { server, open };
}

describe('a server that was restored from an older backup', () => {
  it('is refused by a log that has seen the lost events: it accepts no more calls, and reports what to do', async () => {
    const { server, open } = await serverWithLog();
    const log = await open();
    await log.append(newStream(), newEvents(3), 'any');
    const backup = server.store.snapshot();
    const { position } = await log.append(newStream(), newEvents(3), 'any');
    // It has seen every event before any is lost.
    let seen = 0;
    const following = (async () => {
      for await (const batch of log.subscribe({ after: 0n, signal: new AbortController().signal }))
        seen += batch.events.length;
    })();
    following.catch(() => undefined);
    await expect.poll(() => seen).toBe(6);

    server.store.restoreOlder(backup);

    await expect(following).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringMatching(
        new RegExp(`was read up to ${position} before: it has lost events.*Stop all cores.*replay missions --reset`),
      ),
    });
    for (const refused of [
      log.append(newStream(), [newEvent()], 'any'),
      log.head(),
      collect(log.readAll()),
      collect(log.subscribe({ after: 0n, signal: new AbortController().signal })),
    ]) {
      await expectLogError(refused, 'LOG_CORRUPT');
    }
    // A log that has seen none of them accepts the server's state.
    expect(await collect((await open()).readAll())).toHaveLength(3);
  });

  it('is refused by a subscription that continues after the lost events', async () => {
    const { server, open } = await serverWithLog();
    const log = await open();
    await log.append(newStream(), newEvents(3), 'any');
    const backup = server.store.snapshot();
    const { position } = await log.append(newStream(), newEvents(3), 'any');
    server.store.restoreOlder(backup);
    const { signal } = new AbortController();
    await expectLogError(collect((await open()).subscribe({ after: position, signal })), 'LOG_CORRUPT');
  });

  it('gets another id when it is accepted', async () => {
    const { server, open } = await serverWithLog();
    const { logId } = await open();
    const renamed = await EventStoreLog.rename(readAddress(server.url), quiet);
    expect(renamed).not.toBe(logId);
    expect((await open()).logId).toBe(renamed);
  });
});
