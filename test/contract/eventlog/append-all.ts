import { describe, expect } from 'vitest';
import type { Append } from '../../../src/infra/eventlog/eventlog.js';
import { collect, expectLogError, idsOf, newEvents, newStream, revisionsTo } from '../../support/events.js';
import { Random } from '../../support/random.js';
import type { LogTest } from './log-test.js';

/** Appends of a few events each to interleaved streams, as in a history from elsewhere. */
function history(count: number): Append[] {
  const random = new Random(11);
  const streams = Array.from({ length: 9 }, (_, i) => newStream(['mission', 'task', 'job'][i % 3]));
  const lengths = new Map<string, number>();
  return Array.from({ length: count }, () => {
    const stream = random.pick(streams);
    const length = lengths.get(stream) ?? 0;
    const events = newEvents(random.between(1, 4));
    lengths.set(stream, length + events.length);
    return { stream, events, expected: length === 0 ? 'no-stream' : BigInt(length - 1) };
  });
}

export function appendAllContract(test: LogTest): void {
  describe('appending to many streams', () => {
    test('keeps the order of all events, and the revisions of each stream', async ({ log }) => {
      const appends = history(300);
      const head = await log.head();

      await log.appendAll(appends);

      const stored = await collect(log.readAll({ after: head }));
      expect(stored.map(({ id, stream }) => ({ id, stream }))).toEqual(
        appends.flatMap(({ stream, events }) => events.map(({ id }) => ({ id, stream }))),
      );
      for (const stream of new Set(appends.map((append) => append.stream))) {
        const events = await collect(log.readStream(stream));
        expect(events.map(({ revision }) => revision)).toEqual(revisionsTo(events.length));
      }
    });

    test('continues after existing events, among concurrent appends', async ({ log }) => {
      const [ours, theirs] = [history(100), history(100)];
      await log.appendAll(ours.slice(0, 50));

      await Promise.all([
        log.appendAll(ours.slice(50)),
        ...theirs.map((append) => log.append(append.stream, append.events, 'any')),
      ]);

      for (const stream of new Set([...ours, ...theirs].map((append) => append.stream))) {
        const given = [...ours, ...theirs].filter((append) => append.stream === stream);
        expect(idsOf(await collect(log.readStream(stream)))).toEqual(given.flatMap(({ events }) => idsOf(events)));
      }
    });

    test('changes nothing when repeated', async ({ log }) => {
      const appends = history(50);
      await log.appendAll(appends);
      const head = await log.head();

      await log.appendAll(appends);

      expect(await log.head()).toBe(head);
    });

    test('is refused at a wrong revision, naming the stream, and stores no append in part', async ({ log }) => {
      const [first, second, third] = [newStream(), newStream(), newStream()];
      const appends: Append[] = [
        { stream: first, events: newEvents(2), expected: 'no-stream' },
        { stream: second, events: newEvents(1), expected: 4n },
        { stream: third, events: newEvents(1), expected: 'no-stream' },
      ];

      await expect(log.appendAll(appends)).rejects.toMatchObject({
        code: 'WRONG_EXPECTED_REVISION',
        stream: second,
        expected: 4n,
        actual: -1n,
      });

      expect(await collect(log.readStream(second))).toEqual([]);
      for (const { stream, events } of appends) {
        const stored = idsOf(await collect(log.readStream(stream)));
        expect(stored.length === 0 || stored.length === events.length).toBe(true);
      }
    });

    test('is refused with an event that no log accepts', async ({ log }) => {
      const events = [{ ...newEvents(1)[0]!, id: 'none' }];
      await expectLogError(log.appendAll([{ stream: newStream(), events, expected: 'any' }]), 'EVENT_INVALID');
    });

    test('succeeds with an empty list', async ({ log }) => {
      await log.appendAll([]);
    });
  });
}
