import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { collect, idsOf, newEvent, newEvents, newStream, revisionsTo } from '../../../support/events.js';
import { Random } from '../../../support/random.js';
import { idsIn, openLog, start, startServer, watchUncaught } from './setup.js';

describe('many concurrent appends', () => {
  it.each(['unavailable', 'notLeader', 'timeoutAfter'] as const)(
    'are all answered when %s fails their call',
    async (fault) => {
      const { server, log } = await start({ latency: 5 });
      const uncaught = watchUncaught();
      server.faults.onAppend(fault, 3, { after: 50 });
      const appends = Array.from({ length: 100 }, () => ({ stream: newStream(), events: newEvents(2) }));

      const answers = await Promise.all(appends.map(({ stream, events }) => log.append(stream, events, 'no-stream')));

      expect(answers.map(({ revision }) => revision)).toEqual(answers.map(() => 1n));
      for (const [i, { stream, events }] of appends.entries()) {
        const stored = await collect(log.readStream(stream));
        expect(idsOf(stored)).toEqual(idsOf(events));
        expect(stored.at(-1)?.position).toBe(answers[i]?.position);
      }
      expect(uncaught).toEqual([]);
    },
  );

  it('of all sizes are stored once each, however often the connection breaks', async () => {
    const { server, log } = await start();
    const uncaught = watchUncaught();
    const random = new Random(21);
    const appends = Array.from({ length: 300 }, (_, i) => {
      const bytes = i % 10 === 0 ? random.between(1, 1_000_000) : random.between(1, 20_000);
      const events =
        i % 75 === 0
          ? newEvents(6, { data: { text: 'x'.repeat(1_000_000) } })
          : newEvents(1 + (i % 3), { data: { text: 'x'.repeat(bytes / 3) } });
      return { stream: `mission-${random.between(1, 200)}`, events };
    });
    let isDone = false;
    const tearing = (async () => {
      for (let i = 0; i < 15 && !isDone; i += 1) {
        await delay(random.between(5, 60));
        server.drop();
      }
    })();

    const answers = await Promise.all(appends.map(({ stream, events }) => log.append(stream, events, 'any')));
    isDone = true;
    await tearing;

    const ids = await idsIn(log);
    expect(ids).toEqual([...new Set(ids)]);
    expect(new Set(ids)).toEqual(new Set(appends.flatMap(({ events }) => idsOf(events))));
    const seen = new Map<string, bigint>();
    for (const [i, { stream, events }] of appends.entries()) {
      const revision = (seen.get(stream) ?? -1n) + BigInt(events.length);
      expect(answers[i]?.revision).toBe(revision);
      seen.set(stream, revision);
    }
    await delay(50);
    expect(uncaught).toEqual([]);
  });

  it('of a megabyte and more are stored once each, though the connection breaks while it is stalled', async () => {
    const { server, log } = await start();
    const uncaught = watchUncaught();
    const data = { text: 'x'.repeat(1_000_000) };
    for (const [count, events] of [
      [20, 1],
      [10, 4],
    ] as const) {
      await log.append(newStream(), [newEvent()], 'no-stream');
      server.stall();
      const appends = Array.from({ length: count }, () => newEvents(events, { data }));
      const appending = Promise.all(appends.map((append) => log.append(newStream(), append, 'no-stream')));
      await delay(50);
      server.drop();
      server.unstall();
      await appending;
      const ids = await idsIn(log);
      expect(ids.slice(-count * events)).toEqual(appends.flatMap(idsOf));
    }
    await delay(50);
    expect(uncaught).toEqual([]);
  });

  it('that each follow another are all answered', async () => {
    const { server, log } = await start();
    const uncaught = watchUncaught();
    server.faults.onAppend('unavailable', 5, { after: 40 });
    server.faults.onAppend('dropAfter', 1, { after: 200 });
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        for (let revision = 0n; revision < 10n; revision += 1n) {
          await log.append(`mission-${i}`, [newEvent()], revision === 0n ? 'no-stream' : revision - 1n);
        }
      }),
    );
    for (let i = 0; i < 50; i += 1) {
      const stored = await collect(log.readStream(`mission-${i}`));
      expect(stored.map(({ revision }) => revision)).toEqual(revisionsTo(10));
    }
    expect(uncaught).toEqual([]);
  });

  it('to one server are not affected by the failures of another server in the same process', async () => {
    const [failing, well] = [await start(), await start({ latency: 5 })];
    const uncaught = watchUncaught();
    const appends = Array.from({ length: 30 }, async () => {
      for (let i = 0; i < 10; i += 1) await well.log.append(newStream(), [newEvent()], 'no-stream');
    });
    for (let i = 0; i < 15; i += 1) {
      failing.server.faults.onAppend(i % 2 === 0 ? 'notLeader' : 'dropAfter');
      await failing.log.append(newStream(), [newEvent()], 'no-stream');
    }
    await Promise.all(appends);
    expect(await idsIn(well.log)).toHaveLength(300);
    expect(await idsIn(failing.log)).toHaveLength(15);
    expect(uncaught).toEqual([]);
  });

  it('are not affected by one that is too large', async () => {
    const server = await startServer({ maxAppendSize: 100_000 });
    const log = await openLog(server.url);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) => {
        const text = 'x'.repeat(i % 20 === 5 ? 150_000 : 100);
        return log.append(newStream(), [newEvent({ data: { text } })], i % 2 === 0 ? 'any' : 'no-stream');
      }),
    );
    expect(outcomes.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([5, 25, 45]);
    expect(await idsIn(log)).toHaveLength(57);
  });
});
