import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { categoryOf } from '../../../src/domain/event.js';
import type { EventFilter, EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { collect, idsOf, newEvent, newEvents, newStream } from '../../support/events.js';
import type { LogTest } from './log-test.js';

const TYPES = ['MissionCreated', 'MissionUpdated', 'TaskCreated', 'JobCreated'];
const STREAMS = ['mission-a', 'mission-b', 'task-a', 'job-a', 'job-mission-b'];

/** Some events of each type in each stream, in mixed order. */
async function fillWithEverything(log: EventLog): Promise<void> {
  for (let i = 0; i < 60; i += 1) {
    await log.append(STREAMS[(i * 7) % 5] ?? '', [newEvent({ type: TYPES[(i * 5) % 4] ?? '' })], 'any');
  }
}

export function readContract(test: LogTest): void {
  describe('readStream', () => {
    test('finds nothing in a stream that does not exist', async ({ log }) => {
      expect(await collect(log.readStream(newStream()))).toEqual([]);
      expect(await collect(log.readStream(newStream(), { direction: 'backward' }))).toEqual([]);
    });

    test('reads from any revision, either way, up to a limit', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, newEvents(10), 'no-stream');
      await log.append(newStream(), newEvents(5), 'no-stream');
      const all = await collect(log.readStream(stream));
      expect(all).toHaveLength(10);
      const backward = all.toReversed();

      for (const limit of [0, 1, 4, 10, 11, undefined]) {
        const limited = limit === undefined ? {} : { limit };
        expect(await collect(log.readStream(stream, limited))).toEqual(all.slice(0, limit));
        expect(await collect(log.readStream(stream, { ...limited, direction: 'backward' }))).toEqual(
          backward.slice(0, limit),
        );
        for (const from of [0, 1, 5, 9, 10, 1_000]) {
          expect(await collect(log.readStream(stream, { ...limited, from: BigInt(from) }))).toEqual(
            all.slice(from).slice(0, limit),
          );
          expect(
            await collect(log.readStream(stream, { ...limited, from: BigInt(from), direction: 'backward' })),
          ).toEqual(backward.filter(({ revision }) => revision <= from).slice(0, limit));
        }
      }
    });

    test('reads a long stream completely, either way', async ({ log }) => {
      const stream = newStream();
      const events = [newEvents(500), newEvents(500), newEvents(500), newEvents(500), newEvents(3)];
      for (const some of events) await log.append(stream, some, 'any');
      const ids = idsOf(events.flat());

      expect(idsOf(await collect(log.readStream(stream)))).toEqual(ids);
      expect(idsOf(await collect(log.readStream(stream, { direction: 'backward' })))).toEqual(ids.toReversed());
      expect(idsOf(await collect(log.readStream(stream, { from: 3n, limit: 2_000 })))).toEqual(ids.slice(3));
    });

    test('may be abandoned in the middle', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, newEvents(10), 'no-stream');
      for (let i = 0; i < 20; i += 1) {
        for await (const { revision } of log.readStream(stream)) if (revision === 3n) break;
        for await (const { stream: found } of log.readAll()) if (found === stream) break;
      }
      expect(await collect(log.readStream(stream))).toHaveLength(10);
    });
  });

  describe('readAll', () => {
    test('finds nothing in an empty log', async ({ log }) => {
      expect(await collect(log.readAll())).toEqual([]);
      expect(await log.head()).toBe(0n);
    });

    test('reads all streams in the order of their positions', async ({ log }) => {
      const appended: string[] = [];
      for (const stream of [...STREAMS, ...STREAMS]) {
        const events = newEvents(3);
        await log.append(stream, events, 'any');
        appended.push(...idsOf(events));
      }

      const all = await collect(log.readAll());

      expect(idsOf(all)).toEqual(appended);
      all.forEach(({ position }, i) => {
        if (i > 0) expect(position).toBeGreaterThan(all[i - 1]?.position ?? position);
      });
    });

    test('reads after any position, up to a limit', async ({ log }) => {
      for (const stream of STREAMS) await log.append(stream, newEvents(4), 'any');
      const all = await collect(log.readAll());

      for (const [i, { position }] of [...all.entries()]) {
        expect(await collect(log.readAll({ after: position }))).toEqual(all.slice(i + 1));
        expect(await collect(log.readAll({ after: position, limit: 3 }))).toEqual(all.slice(i + 1, i + 4));
      }
      expect(await collect(log.readAll({ limit: 0 }))).toEqual([]);
      expect(await collect(log.readAll({ after: await log.head() }))).toEqual([]);
    });

    test('reads from any event, up to a limit', async ({ log }) => {
      for (const stream of STREAMS) await log.append(stream, newEvents(4), 'any');
      const all = await collect(log.readAll());

      for (const [i, { position }] of [...all.entries()]) {
        expect(await collect(log.readAll({ from: position }))).toEqual(all.slice(i));
        expect(await collect(log.readAll({ from: position, limit: 3 }))).toEqual(all.slice(i, i + 3));
        expect(await collect(log.readAll({ from: position, limit: 0 }))).toEqual([]);
        const filter = { streams: ['mission-b'] };
        const matching = all.slice(i).filter(({ stream }) => stream === 'mission-b');
        expect(await collect(log.readAll({ from: position, filter }))).toEqual(matching);
      }
    });

    test('has the positions of its events and 0, and none beyond its end', async ({ log }) => {
      expect(await log.hasPosition(0n)).toBe(true);
      const { position } = await log.append(newStream(), newEvents(3), 'no-stream');
      await log.append(newStream(), newEvents(3), 'no-stream');
      for (const event of await collect(log.readAll())) expect(await log.hasPosition(event.position)).toBe(true);
      expect(await log.hasPosition(position + 1_000_000n)).toBe(false);
    });

    test('has an event where it is, and nowhere else', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, newEvents(4), 'no-stream');
      const events = await collect(log.readStream(stream));
      for (const event of events) {
        expect(await log.has(event)).toBe(true);
        expect(await log.has({ ...event, id: randomUUID() })).toBe(false);
      }
      const [last] = events.slice(-1);
      const beyond = { position: last!.position + 1n, revision: last!.revision + 1n, id: randomUUID() };
      expect(await log.has({ stream, ...beyond })).toBe(false);
      expect(await log.has({ stream: newStream(), ...beyond })).toBe(false);
    });

    test('returns exactly the events that match a filter', async ({ log }) => {
      await fillWithEverything(log);
      const all = await collect(log.readAll());
      expect(all).toHaveLength(60);
      const some = (values: readonly string[]) => fc.option(fc.subarray([...values]), { nil: undefined });
      const filters: fc.Arbitrary<EventFilter> = fc.record({
        types: some([...TYPES, 'JobFailed']),
        categories: some(['mission', 'task', 'job', 'miss', '']),
        streams: some([...STREAMS, 'mission-', 'job-A']),
      });

      await fc.assert(
        fc.asyncProperty(filters, fc.nat(60), fc.integer({ min: 1, max: 70 }), async (filter, skip, limit) => {
          const after = all[skip - 1]?.position ?? 0n;
          const wanted = all.filter(
            ({ type, stream }) =>
              (filter.types?.includes(type) ?? true) &&
              (filter.streams?.includes(stream) ?? true) &&
              (filter.categories?.includes(categoryOf(stream)) ?? true),
          );
          expect(await collect(log.readAll({ after, filter, limit }))).toEqual(
            wanted.filter(({ position }) => position > after).slice(0, limit),
          );
        }),
        { numRuns: 200 },
      );
    });

    test('ends at the end that the log had when the read began', async ({ log }) => {
      await log.append(newStream(), newEvents(20), 'any');
      let read = 0;
      for await (const _ of log.readAll()) {
        read += 1;
        await log.append(newStream(), [newEvent()], 'any');
      }
      expect(read).toBe(20);
    });
  });

  describe('head', () => {
    test('is 0 for an empty log and rises with each append', async ({ log }) => {
      let head = await log.head();
      for (let i = 0; i < 5; i += 1) {
        const { position } = await log.append(newStream(), newEvents(2), 'any');
        expect(position).toBeGreaterThan(head);
        head = await log.head();
        expect(head).toBeGreaterThanOrEqual(position);
        expect(await collect(log.readAll({ after: head }))).toEqual([]);
      }
    });
  });
}
