import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { StandIn } from '../../../support/eventstore/stand-in.js';
import { collect, follow, newEvents, newStream } from '../../../support/events.js';
import { Random } from '../../../support/random.js';
import { expectResumable, Follower, idsIn, positionsIn, seed, seedForeign, start } from './setup.js';

/** What a server may do to an open subscription. */
const ENDINGS: Readonly<Record<string, (server: StandIn) => void>> = {
  'ends it without an error': (server) => server.endSubscriptions(),
  'breaks it': (server) => server.failSubscriptions('broken'),
  'reports that it is unavailable': (server) => server.failSubscriptions('unavailable'),
  'reports that it is not the leader': (server) => server.failSubscriptions('notLeader'),
  'breaks the connection': (server) => server.drop(),
  'delivers something twice': (server) => server.duplicate(),
};

describe('when the server', () => {
  for (const [what, happen] of Object.entries(ENDINGS)) {
    it(`${what}, a reader of existing events misses nothing and receives nothing twice`, async () => {
      const { server, log } = await start();
      const random = new Random(11);
      seed(server, 1_500, ['mission-1', 'task-1', 'mission-2']);
      for (let i = 0; i < 20; i += 1) {
        seed(server, 20, ['mission-1']);
        seedForeign(server, 100);
      }
      let batches = 0;
      const followed = await follow(
        log,
        { after: 0n, batchSize: 50 },
        ({ live }) => live,
        async () => {
          batches += 1;
          if (batches % 4 === 0) happen(server);
          await delay(random.between(0, 3));
        },
      );
      expectResumable(followed.batches, positionsIn(server));
      expect(followed.events).toHaveLength(1_900);
    });

    it(`${what}, a live reader misses nothing and receives nothing twice`, async () => {
      const { server, log } = await start();
      const random = new Random(12);
      const followers = [
        await new Follower(log).has(0),
        await new Follower(log, { filter: { categories: ['task'] } }).has(0),
      ];
      const stream = newStream();
      let recorded = 0;
      for (let i = 0; i < 30; i += 1) {
        happen(server);
        const count = random.between(1, 40);
        recorded += count;
        if (random.chance(0.5)) await log.append(stream, newEvents(count), 'any');
        else seed(server, count, ['mission-1']);
        if (random.chance(0.3)) await delay(random.between(0, 60));
      }
      const [all, none] = followers;
      await all?.has(recorded);
      expect(all?.ids).toEqual(await idsIn(log));
      expect(all?.ids).toHaveLength(recorded);
      expect(none?.events).toEqual([]);
      expect(followers.map(({ error }) => error)).toEqual([undefined, undefined]);
    });
  }
});

describe('subscriptions on the server', () => {
  it('are one for all live readers, and none without readers', async () => {
    const { server, log } = await start();
    seed(server, 500, ['mission-1']);
    const controller = new AbortController();
    const reading = Array.from({ length: 8 }, async () => {
      for await (const _ of log.subscribe({ after: 0n, signal: controller.signal }));
    });
    const one = await new Follower(log).has(500);
    await expect.poll(() => server.subscriptions).toBe(1);
    controller.abort();
    await Promise.all(reading);
    expect(server.subscriptions).toBe(1);
    server.endSubscriptions();
    await log.append('mission-2', newEvents(1), 'no-stream');
    await one.has(501);
    expect(server.subscriptions).toBe(1);
    await log.close();
    await expect.poll(() => server.subscriptions).toBe(0);
  });

  it('are ended when a read is abandoned in the middle', async () => {
    const { server, log } = await start();
    seed(server, 2_000, ['mission-1']);
    for (let i = 0; i < 10; i += 1) {
      for await (const _ of log.readAll()) break;
      expect(await collect(log.readAll({ limit: 3 }))).toHaveLength(3);
    }
    await expect.poll(() => server.subscriptions).toBe(0);
  });

  it('are retried when the server refuses them at first', async () => {
    const { server, log } = await start();
    seed(server, 300, ['mission-1']);
    for (const fault of ['unavailable', 'notLeader', 'broken'] as const) {
      server.faults.onSubscribe(fault, 2);
      expect(await collect(log.readAll())).toHaveLength(300);
      server.faults.onSubscribe(fault, 2);
      await new Follower(log).has(300);
    }
  });

  it('are not opened in rapid succession when the server ends each immediately', async () => {
    const { server, log } = await start();
    seed(server, 300, ['mission-1']);
    let asked = 0;
    const next = server.faults.nextSubscription.bind(server.faults);
    let isEnding = true;
    server.faults.nextSubscription = () => {
      asked += 1;
      if (isEnding) queueMicrotask(() => server.endSubscriptions());
      return next();
    };
    const reading = collect(log.readAll());
    const follower = new Follower(log);
    await delay(1_500);
    expect(asked).toBeLessThan(25);
    isEnding = false;
    await reading;
    await follower.has(300);
  });
});
