import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { collect, newEvents } from '../../../support/events.js';
import { quiet } from '../../../support/quiet.js';
import { Running, tally } from '../../projector/support.js';
import { Follower, openLog, seedForeign, start } from './setup.js';

/** The ways in which a server may lose the events after a position. */
const LOSSES = {
  'is cut off': (server: Awaited<ReturnType<typeof start>>['server'], position: bigint) =>
    server.store.truncateTo(position),
  'is restored, and continues with records of others': (
    server: Awaited<ReturnType<typeof start>>['server'],
    position: bigint,
  ) => {
    server.store.truncateTo(position);
    seedForeign(server, 200);
  },
};

describe('a log that has lost events', () => {
  for (const [what, lose] of Object.entries(LOSSES)) {
    it(`ends open subscriptions when it ${what}`, async () => {
      const { server, log } = await start();
      const { position } = await log.append('mission-1', newEvents(5), 'no-stream');
      const follower = await new Follower(log).has(5);
      await log.append('mission-1', newEvents(5), 4n);
      await follower.has(10);
      const through = follower.batches.at(-1)?.through;

      lose(server, position);
      await follower.until('end', () => follower.isOver, 5_000);
      expect(follower.error).toMatchObject({ name: 'LogError', code: 'LOG_CORRUPT' });
      expect((follower.error as Error).message).toContain(
        `The log ends at ${position}, but was read up to ${through} before: it has lost events`,
      );
      expect(follower.events).toHaveLength(10);
      const another = await openLog(server.url);
      expect(await another.head()).toBe(position);
      expect(await collect(another.readAll())).toHaveLength(5);
    });
  }

  it('reports its new end, although the loss was not noticed', async () => {
    const { server, log } = await start();
    const { position } = await log.append('mission-1', newEvents(5), 'no-stream');
    const later = await log.append('mission-1', newEvents(5), 4n);
    seedForeign(server, 20);
    expect(await log.head()).toBe(later.position);
    server.store.truncateTo(position);
    seedForeign(server, 200);
    expect(await log.head()).toBe(position);
  });

  it('ends a slow subscription although the log has meanwhile grown past the lost events', async () => {
    const { server, log } = await start();
    const { position } = await log.append('mission-1', newEvents(5), 'no-stream');
    await log.append('mission-1', newEvents(5), 4n);
    const slow = log.subscribe({ after: 0n, signal: AbortSignal.timeout(60_000) })[Symbol.asyncIterator]();
    await slow.next();
    const quick = await new Follower(log).has(10);
    server.store.truncateTo(position);
    await quick.until('end', () => quick.isOver);
    await (await openLog(server.url)).append('mission-1', newEvents(50), 4n);
    await delay(200);

    const rest = async () => {
      while ((await slow.next()).done !== true);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });

  it('is refused by a projection that has folded more of it', async () => {
    const { server, log } = await start();
    const { position } = await log.append('mission-1', newEvents(5), 'no-stream');
    const running = await Running.begin(tally(), log);
    const backup = server.store.snapshot();
    const later = await log.append('mission-1', newEvents(5), 4n);
    await running.caughtUp();
    await running.stop();
    server.store.restoreOlder(backup);

    const reopened = await openLog(server.url);
    expect(reopened.logId).toBe(log.logId);
    await expect(running.open(tally(), reopened)).rejects.toMatchObject({
      code: 'CHECKPOINT_BEYOND_HEAD',
      message: expect.stringMatching(
        new RegExp(`folded up to ${later.position}, but the log ends at ${position}:.*sheratan replay tally --reset`),
      ),
    });
  });

  it('is refused by a projection also when other events are in the place of those it has folded', async () => {
    const { server, log } = await start();
    await log.append('mission-1', newEvents(5), 'no-stream');
    const running = await Running.begin(tally(), log);
    const backup = server.store.snapshot();
    await log.append('mission-1', newEvents(5), 4n);
    await running.caughtUp();
    await running.stop();
    server.store.restoreOlder(backup);
    // Another core, which has folded none of the lost events, continues.
    await (await openLog(server.url)).append('mission-1', newEvents(50), 4n);
    await expect(running.open(tally(), await openLog(server.url))).rejects.toMatchObject({
      code: 'LOG_DIVERGED',
      message: expect.stringContaining('has folded events that this log does not have') as string,
    });
  });

  it('is another log once it is renamed: a projection of the old one is refused', async () => {
    const { server, log } = await start();
    const { position } = await log.append('mission-1', newEvents(5), 'no-stream');
    await log.append('mission-1', newEvents(5), 4n);
    const running = await Running.begin(tally(), log);
    await running.caughtUp();
    await running.stop();
    await log.close();
    server.store.truncateTo(position);

    const logId = await EventStoreLog.rename(readAddress(server.url), quiet);
    expect(logId).not.toBe(log.logId);
    const renamed = await openLog(server.url);
    expect(renamed.logId).toBe(logId);
    expect(await renamed.head()).toBe(position);
    await renamed.append('mission-1', newEvents(7), 4n);
    expect(await renamed.head()).toBeGreaterThan(position);
    await expect(running.open(tally(), renamed)).rejects.toMatchObject({ code: 'FOREIGN_LOG' });
    expect(await collect(renamed.readAll())).toHaveLength(12);
  });
});
