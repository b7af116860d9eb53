import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { collect, follow, idsOf, newEvent, newStream } from '../../../support/events.js';
import { Random } from '../../../support/random.js';
import { Running, tally } from '../../projector/support.js';
import { expectResumable, Follower, positionsIn, seed, seedForeign, start } from './setup.js';

const filter = { categories: ['mission'] };

describe('a reader that is slower than the server', () => {
  it.each([
    ['24.10.0', false],
    ['24.10.0', true],
    ['23.10.0', false],
    ['22.10.0', true],
  ])('may go on after any batch, on a %s (checkpoints at the end of the log: %s)', async (serverVersion, isAtEnd) => {
    const { server, log } = await start({ serverVersion });
    server.announceCheckpointsBeyondHead(isAtEnd);
    const random = new Random(7);
    for (let i = 0; i < 40; i += 1) {
      seed(server, random.between(1, 60), ['mission-1', 'task-1', 'mission-2', 'job-1']);
      seedForeign(server, random.between(0, 90));
    }
    const end = await log.head();
    let batches = 0;

    const followed = await follow(
      log,
      { after: 0n, filter, batchSize: 40 },
      ({ live }) => live && batches > 60,
      async () => {
        batches += 1;
        if (batches <= 60) seed(server, random.between(1, 50), ['mission-1', 'task-1']);
        await delay(random.between(0, 8));
      },
    );

    expectResumable(followed.batches, positionsIn(server, filter));
    expect(followed.through).toBeGreaterThan(end);
    expect(followed.through).toBeLessThanOrEqual(await log.head());
    for (const { through } of [1, 2, 3].map(() => random.pick(followed.batches))) {
      const rest = await collect(log.readAll({ after: through, filter }));
      expect(rest.map(({ position }) => position)).toEqual(positionsIn(server, filter).filter((p) => p > through));
    }
  });
});

describe('a checkpoint beyond the end of the log', () => {
  it('is not believed, for an event comes to lie there', async () => {
    const { server, log } = await start();
    server.announceCheckpointsBeyondHead(true);
    seed(server, 100, ['mission-1']);
    const follower = await new Follower(log, { filter: { categories: ['task'] } }).has(0);
    const head = await log.head();
    for (let i = 0n; i < 5n; i += 1n) server.checkpoint(server.store.end + i * 10_000n);
    await delay(50);

    const through = follower.batches.at(-1)?.through ?? 0n;
    expect(through).toBe(head);
    const { position } = await log.append('task-1', [newEvent()], 'no-stream');
    await follower.has(1);
    expectResumable(follower.batches, [position]);
    expect(await collect(log.readAll({ after: through }))).toHaveLength(1);
  });

  it('is not believed in the middle of the log either', async () => {
    const { server, log } = await start();
    seed(server, 2_000, ['mission-1', 'task-1']);
    const head = await log.head();
    const followed = await follow(
      log,
      { after: 0n, batchSize: 100 },
      ({ live }) => live,
      () => {
        server.checkpoint(head + 1_000n);
        return delay(1);
      },
    );
    expectResumable(followed.batches, positionsIn(server));
    expect(followed.events).toHaveLength(2_000);
  });

  it('does not keep a projection from being taken up again', async () => {
    const { server, log } = await start();
    server.announceCheckpointsBeyondHead(true);
    const running = await Running.begin(tally(), log);
    for (let i = 1; i <= 5; i += 1) {
      const { position } = await log.append('task-1', [newEvent()], 'any');
      await log.append('mission-1', [newEvent()], 'any');
      server.checkpoint(server.store.end + 100_000n);
      await running.caughtUp();
      await running.restart(tally());
      expect(running.projector.position).toBeGreaterThan(position);
    }
    await running.caughtUp();
    expect(await running.total()).toBe(5);
  });
});

describe('a checkpoint just where the next event lies', () => {
  it('does not stand for that event', async () => {
    const { server, log } = await start();
    seed(server, 200, ['mission-1']);
    const follower = await new Follower(log).has(200);
    const ids: string[] = [];
    for (let i = 0; i < 20; i += 1) {
      const event = newEvent();
      server.checkpoint(server.store.end);
      await log.append(newStream(), [event], 'no-stream');
      ids.push(event.id);
    }
    await follower.has(220);
    expect(idsOf(follower.events.slice(200))).toEqual(ids);
  });
});
