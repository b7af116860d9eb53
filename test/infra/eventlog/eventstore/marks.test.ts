import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { subscriptionBatches } from '../../../../src/infra/eventlog/eventstore/batch-subscription.js';
import { EventCodec, type AnyRecord } from '../../../../src/infra/eventlog/eventstore/event-codec.js';
import type { SubscriptionMessage } from '../../../../src/infra/eventlog/eventstore/subscription-messages.js';
import { collect, follow, newEvent } from '../../../support/events.js';
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
  ])('may continue after any batch, on server %s (checkpoints at the end: %s)', async (serverVersion, isAtEnd) => {
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
  it('is ignored, because a later event takes this position', async () => {
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

  it('is ignored in the middle of the log too, and so is one that is ahead of the delivered events', async () => {
    const { server, log } = await start();
    seed(server, 2_000, ['mission-1', 'task-1']);
    const positions = positionsIn(server);
    const random = new Random(8);
    const followed = await follow(
      log,
      { after: 0n, batchSize: 100 },
      ({ live }) => live,
      () => {
        server.checkpoint(random.chance(0.5) ? server.store.end + 1_000n : random.pick(positions));
        return delay(1);
      },
    );
    expectResumable(followed.batches, positions);
    expect(followed.events).toHaveLength(2_000);
  });

  it('does not prevent a projection from being resumed', async () => {
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

describe('a checkpoint exactly at the next event', () => {
  const HEAD = 1_000n;
  const records = new EventCodec('');

  /** An event of the log, or a checkpoint that reports that everything before it was scanned. */
  const messages = fc
    .uniqueArray(fc.record({ at: fc.bigInt(1n, HEAD + 100n), isEvent: fc.boolean(), isMarked: fc.boolean() }), {
      selector: ({ at }) => at,
      maxLength: 60,
    })
    .map((places) => places.toSorted((a, b) => (a.at < b.at ? -1 : 1)))
    .map((places) =>
      places.flatMap(({ at, isEvent, isMarked }): SubscriptionMessage[] => [
        ...(isMarked ? [{ checkpoint: at }] : []),
        ...(isEvent ? [{ record: recordAt(at) }] : []),
      ]),
    );

  function recordAt(at: bigint): AnyRecord {
    return {
      id: randomUUID(),
      streamId: 'mission-1',
      type: 'MissionUpdated',
      revision: at,
      isJson: true,
      data: {},
      metadata: {},
      created: new Date(0),
      position: { commit: at, prepare: at },
    };
  }

  it('does not count as that event, however the messages are grouped', async () => {
    await fc.assert(
      fc.asyncProperty(
        messages,
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        fc.boolean(),
        async (all, size, isLive, caughtUp) => {
          const chunks: SubscriptionMessage[][] = [];
          for (let from = 0; from < all.length; from += size) chunks.push(all.slice(from, from + size));
          if (caughtUp) chunks.push([{ caughtUp: true }]);
          const source = (async function* () {
            for (const chunk of chunks) yield await Promise.resolve(chunk);
          })();
          const cut = { after: 0n, head: HEAD, filter: undefined, batchSize: size, isLive };
          const cuts = await collect(subscriptionBatches(source, records, cut));
          expectResumable(
            cuts,
            all.flatMap((one) => ('record' in one ? [one.record.position?.commit ?? 0n] : [])),
          );
          if (isLive)
            expect(cuts.flatMap(({ events }) => events)).toHaveLength(all.filter((one) => 'record' in one).length);
        },
      ),
      { numRuns: 300 },
    );
  });
});
