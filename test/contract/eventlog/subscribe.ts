import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { EventFilter, EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { collect, follow, idsOf, newEvent, newEvents, newStream } from '../../support/events.js';
import type { LogTest } from './log-test.js';

/** How soon a subscription must end after its signal, in milliseconds: far less than any timeout. */
const PROMPT_MS = 3_000;

/** Appends made while subscribers start and stop. */
const APPENDS = 60;
/** A position that is never reached. */
const FAR = 2n ** 62n;

/** One subscriber of the property: when it starts, from where, how it reads. */
interface Subscriber {
  readonly startsAfterAppends: number;
  /** Where it starts, as a fraction of the existing events. */
  readonly from: number;
  readonly batchSize: number;
  readonly slowness: number;
  readonly filter: EventFilter | undefined;
}

const subscriber: fc.Arbitrary<Subscriber> = fc.record({
  startsAfterAppends: fc.nat(APPENDS - 1),
  from: fc.double({ min: 0, max: 1, noNaN: true }),
  batchSize: fc.constantFrom(1, 3, 20, 1_000),
  slowness: fc.constantFrom(0, 0, 1, 5),
  filter: fc.constantFrom(undefined, undefined, { types: ['TaskCreated'] }, { categories: ['job'] }, { streams: [] }),
});

/** Appends groups of these sizes to streams of two categories, and reports the total number of events after each. */
async function appendAtRandom(log: EventLog, sizes: readonly number[], appended: (count: number) => void) {
  const appending: Promise<unknown>[] = [];
  for (const [i, size] of sizes.entries()) {
    const stream = newStream(i % 3 === 0 ? 'job' : 'task');
    const type = i % 2 === 0 ? 'TaskCreated' : 'JobCreated';
    appending.push(log.append(stream, newEvents(size, { type }), 'any'));
    // Some appends share a group with the next one.
    if (size % 3 !== 0) await Promise.all(appending.splice(0));
    appended(i);
  }
  await Promise.all(appending);
}

export function subscribeContract(test: LogTest): void {
  describe('subscribe', () => {
    test('reports that it is live on an empty log', async ({ log }) => {
      const { batches } = await follow(log, { after: 0n }, ({ live }) => live);
      expect(batches).toEqual([{ events: [], through: 0n, live: true }]);
    });

    test('delivers existing events, reports that it is live, then delivers new events', async ({ log }) => {
      const before = newEvents(5);
      const after = newEvents(3);
      await log.append(newStream(), before, 'any');
      let appending: Promise<unknown> | undefined;

      const { events, batches } = await follow(
        log,
        { after: 0n },
        (followed) => followed.events.length === 8 && followed.live,
        async ({ live }) => {
          if (live) appending ??= log.append(newStream(), after, 'any');
          await appending;
        },
      );

      expect(idsOf(events)).toEqual(idsOf([...before, ...after]));
      const firstLive = batches.findIndex(({ live }) => live);
      expect(batches.slice(0, firstLive + 1).flatMap((batch) => batch.events)).toHaveLength(5);
    });

    test('starts after a position, not at it', async ({ log }) => {
      await log.append(newStream(), newEvents(5), 'any');
      const all = await collect(log.readAll());
      for (const [i, { position }] of all.entries()) {
        const { events } = await follow(log, { after: position }, ({ live }) => live);
        expect(events).toEqual(all.slice(i + 1));
      }
    });

    test('misses nothing and repeats nothing, whenever and wherever it starts', async ({ log }) => {
      const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: APPENDS, maxLength: APPENDS });
      const subscribers = fc.array(subscriber, { minLength: 6, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(sizes, subscribers, async (appends, readers) => {
          const start = await log.head();
          const progress = new EventEmitter().setMaxListeners(readers.length);
          const follows = readers.map(async ({ startsAfterAppends, from, slowness, filter, batchSize }) => {
            await once(progress, `append ${startsAfterAppends}`);
            const now = await log.head();
            const after = start + BigInt(Math.floor(Number(now - start) * from));
            const options = { after, batchSize, ...(filter === undefined ? {} : { filter }) };
            const pause = () => (slowness === 0 ? Promise.resolve() : sleep(slowness));
            const followed = await follow(log, options, ({ live, through }) => live && through >= end, pause);
            return { options, followed };
          });
          let end = FAR;
          await appendAtRandom(log, appends, (count) => progress.emit(`append ${count}`));
          end = await log.head();
          await log.append(newStream(), [newEvent()], 'any');

          for (const { options, followed } of await Promise.all(follows)) {
            const wanted = await collect(log.readAll(options));
            expect(idsOf(followed.events)).toEqual(
              idsOf(wanted.filter(({ position }) => position <= followed.through)),
            );
            for (const { events } of followed.batches) expect(events.length).toBeLessThanOrEqual(options.batchSize);
            // `last` is the place of the last event, whether it matches or not, if it is known.
            const all = await collect(log.readAll({ after: options.after }));
            for (const { last, through } of followed.batches) {
              const { stream, revision, id } = all.findLast(({ position }) => position <= through) ?? {};
              if (last !== undefined) expect(last).toMatchObject({ stream, revision, id });
            }
          }
        }),
        { numRuns: 5 },
      );
    });

    test('misses nothing when several start concurrently on a log without subscribers', async ({ log }) => {
      for (let round = 0; round < 30; round += 1) {
        const after = await log.head();
        const events = newEvents(12);
        const following = Array.from({ length: 5 }, () =>
          follow(log, { after, batchSize: 2 }, (followed) => followed.events.length >= events.length),
        );
        for (const event of events) await log.append(newStream(), [event], 'any');
        for (const followed of await Promise.all(following)) expect(idsOf(followed.events)).toEqual(idsOf(events));
      }
    });

    test('reports how far it scanned when nothing matched', async ({ log }) => {
      await log.append(newStream(), newEvents(30), 'any');
      let end: bigint | undefined;
      const { events, through } = await follow(
        log,
        { after: 0n, filter: { types: ['JobFailed'] } },
        (followed) => end !== undefined && followed.through >= end,
        async ({ live }) => {
          if (live) end ??= (await log.append(newStream(), newEvents(10), 'any')).position;
        },
      );

      expect(events).toEqual([]);
      expect(through).toBeGreaterThanOrEqual(await log.head());
    });

    test('delivers only events that match a filter, existing and new', async ({ log }) => {
      const filter = { categories: ['job'], types: ['JobFailed'] };
      const append = async () => {
        for (const type of ['JobFailed', 'JobCreated', 'JobFailed']) {
          await log.append(newStream('job'), [newEvent({ type })], 'any');
          await log.append(newStream('task'), [newEvent({ type })], 'any');
        }
      };
      await append();
      let end: bigint | undefined;
      const { events } = await follow(
        log,
        { after: 0n, filter },
        (followed) => end !== undefined && followed.through >= end,
        async ({ live }) => {
          if (!live || end !== undefined) return;
          await append();
          end = await log.head();
        },
      );

      expect(events).toHaveLength(4);
      expect(events).toEqual(await collect(log.readAll({ filter })));
    });

    test('delivers every event to a reader that falls thousands of events behind', async ({ log }) => {
      const groups = Array.from({ length: 8 }, () => newEvents(500));
      await log.append(newStream(), [newEvent()], 'any');
      let appended = false;
      const { events } = await follow(
        log,
        { after: 0n },
        (followed) => followed.live && followed.events.length > 1,
        async ({ live }) => {
          if (!live || appended) return;
          appended = true;
          for (const group of groups) await log.append(newStream(), group, 'any');
        },
      );

      expect(idsOf(events.slice(1))).toEqual(idsOf(groups.flat()));
    });

    test('delivers no batch with more events than requested, existing or live', async ({ log }) => {
      await log.append(newStream(), newEvents(25), 'any');
      let appended = false;
      const { batches } = await follow(
        log,
        { after: 0n, batchSize: 10 },
        (followed) => followed.live && followed.events.length === 50,
        async ({ live }) => {
          if (!live || appended) return;
          appended = true;
          await log.append(newStream(), newEvents(25), 'any');
        },
      );

      expect(Math.max(...batches.map(({ events }) => events.length))).toBe(10);
    });

    test('ends on its signal, promptly and without an error, while it waits', async ({ log }) => {
      for (const after of [0n, await log.head()]) {
        const controller = new AbortController();
        const batches = log.subscribe({ after, signal: controller.signal })[Symbol.asyncIterator]();
        await batches.next();
        const next = batches.next();
        await sleep(20);
        const aborted = performance.now();
        controller.abort();

        expect(await next).toEqual({ done: true, value: undefined });
        expect(performance.now() - aborted).toBeLessThan(PROMPT_MS);
      }
    });

    test('delivers nothing when its signal was aborted before it began', async ({ log }) => {
      await log.append(newStream(), newEvents(5), 'any');
      expect(await collect(log.subscribe({ after: 0n, signal: AbortSignal.abort() }))).toEqual([]);
    });

    test('ends on its signal in the middle of existing events', async ({ log }) => {
      await log.append(newStream(), newEvents(100), 'any');
      const { events } = await follow(log, { after: 0n, batchSize: 10 }, (followed) => followed.events.length >= 30);
      expect(events).toHaveLength(30);
    });

    test('may be abandoned at any time', async ({ log }) => {
      await log.append(newStream(), newEvents(10), 'any');
      for (let i = 0; i < 20; i += 1) {
        const { signal } = new AbortController();
        for await (const batch of log.subscribe({ after: 0n, signal, batchSize: 5 })) {
          expect(batch.events).toHaveLength(5);
          break;
        }
      }
      const { events } = await follow(log, { after: 0n }, ({ live }) => live);
      expect(events).toHaveLength(10);
    });
  });
}
