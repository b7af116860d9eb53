import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { JsonObject } from '../../../src/domain/json.js';
import { MAX_APPEND_EVENTS, type ExpectedRevision } from '../../../src/infra/eventlog/eventlog.js';
import { collect, idsOf, newEvent, newEvents, newMetadata, newStream, revisionsTo } from '../../support/events.js';
import type { LogTest } from './log-test.js';

/** States of a stream, with the expected revisions that an append may and may not have in each. */
const EXPECTATIONS: {
  readonly events: number;
  readonly right: readonly ExpectedRevision[];
  readonly wrong: readonly ExpectedRevision[];
}[] = [
  { events: 0, right: ['no-stream', 'any'], wrong: ['exists', 0n, 7n] },
  { events: 1, right: [0n, 'exists', 'any'], wrong: ['no-stream', 1n] },
  { events: 3, right: [2n, 'exists', 'any'], wrong: ['no-stream', 0n, 1n, 3n, 2n ** 60n] },
];

export function appendContract(test: LogTest): void {
  describe('append', () => {
    for (const { events, right, wrong } of EXPECTATIONS) {
      for (const expected of right) {
        test(`accepts ${String(expected)} for a stream of ${events} events`, async ({ log }) => {
          const stream = newStream();
          if (events > 0) await log.append(stream, newEvents(events), 'no-stream');

          const { revision } = await log.append(stream, newEvents(2), expected);

          expect(revision).toBe(BigInt(events + 1));
          expect(await collect(log.readStream(stream))).toHaveLength(events + 2);
        });
      }
      for (const expected of wrong) {
        test(`refuses ${String(expected)} for a stream of ${events} events, and reports its revision`, async ({
          log,
        }) => {
          const stream = newStream();
          if (events > 0) await log.append(stream, newEvents(events), 'no-stream');
          const head = await log.head();

          await expect(log.append(stream, newEvents(2), expected)).rejects.toMatchObject({
            code: 'WRONG_EXPECTED_REVISION',
            stream,
            expected,
            actual: BigInt(events - 1),
          });

          expect(await collect(log.readStream(stream))).toHaveLength(events);
          expect(await log.head()).toBe(head);
        });
      }
    }

    test('returns the revision and position of the last event', async ({ log }) => {
      const stream = newStream();
      const first = await log.append(stream, newEvents(3), 'no-stream');
      const second = await log.append(stream, newEvents(1), 'any');
      const events = await collect(log.readStream(stream));

      expect(first).toEqual({ revision: 2n, position: events[2]?.position });
      expect(second).toEqual({ revision: 3n, position: events[3]?.position });
    });

    test('lets its writer read the events immediately', async ({ log }) => {
      for (let i = 0n; i < 20n; i += 1n) {
        const event = newEvent();
        const stream = newStream();
        const { position } = await log.append(stream, [event], 'no-stream');

        expect(idsOf(await collect(log.readStream(stream)))).toEqual([event.id]);
        expect(idsOf(await collect(log.readAll({ from: position })))).toEqual([event.id]);
      }
    });

    test(`takes ${MAX_APPEND_EVENTS} events in one append, in order`, async ({ log }) => {
      const stream = newStream();
      const events = newEvents(MAX_APPEND_EVENTS);

      await log.append(stream, events, 'no-stream');

      const stored = await collect(log.readStream(stream));
      expect(idsOf(stored)).toEqual(idsOf(events));
      expect(stored.map(({ revision }) => revision)).toEqual(revisionsTo(MAX_APPEND_EVENTS));
    });

    test('stores all events of an append or none', async ({ log }) => {
      const stream = newStream();
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, () => log.append(stream, newEvents(5), 'no-stream')),
      );

      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(await collect(log.readStream(stream))).toHaveLength(5);
    });

    test('returns an event as it was given, with its place, type number and recording time', async ({ log }) => {
      const stream = newStream('job');
      const metadata = { ...newMetadata(), idempotency: { key: 'k', hash: 'h' } };
      const event = newEvent({
        type: 'JobFailed',
        data: { attempt: 2, reason: null, deep: [{ a: [true] }] },
        metadata,
      });

      const { position } = await log.append(stream, [event], 'no-stream');

      const [stored] = await collect(log.readStream(stream));
      const recordedAt = stored?.recordedAt ?? '';
      expect(stored).toEqual({ ...event, stream, revision: 0n, position, etype: 17, recordedAt });
      expect(new Date(recordedAt).toISOString()).toBe(recordedAt);
      expect(await collect(log.readAll({ from: position }))).toEqual([stored]);
    });

    test('returns any JSON as it was given', async ({ log }) => {
      const json = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ stringUnit: 'binary' }));
      await fc.assert(
        fc.asyncProperty(fc.array(json, { minLength: 1, maxLength: 8 }), async (values) => {
          // JSON does not distinguish −0 from 0.
          const datas = values.map((value) => JSON.parse(JSON.stringify(value).replaceAll('-0', '0')) as JsonObject);
          const stream = newStream();
          await log.append(
            stream,
            datas.map((data) => newEvent({ data })),
            'no-stream',
          );
          expect((await collect(log.readStream(stream))).map(({ data }) => data)).toEqual(datas);
        }),
        { numRuns: 50 },
      );
    });

    test('returns members in the order of canonical JSON, in any order in which they were given', async ({ log }) => {
      const stream = newStream();
      const data = { b: { z: 1, a: [{ d: 1, c: 2 }] }, é: 3, a: 4, 'a b': 5, A: 6 };

      await log.append(stream, [newEvent({ data })], 'no-stream');

      const [stored] = await collect(log.readStream(stream));
      expect(JSON.stringify(stored?.data)).toBe('{"A":6,"a":4,"a b":5,"b":{"a":[{"c":2,"d":1}],"z":1},"é":3}');
    });

    test('returns long text with characters of every Unicode plane as it was given', async ({ log }) => {
      const text = Array.from({ length: 20_000 }, (_, i) => String.fromCodePoint(0x20 + i * 5)).filter((c) =>
        c.isWellFormed(),
      );
      const data = {
        text: text.join(''),
        emoji: '👩🏽‍🚀'.repeat(1_000),
        [`key ${text.slice(500, 600).join('')}`]: '\u0000\u2028',
      };
      const stream = newStream();

      await log.append(stream, [newEvent({ data })], 'no-stream');

      expect((await collect(log.readStream(stream)))[0]?.data).toEqual(data);
    });

    test('keeps streams of unusual names apart', async ({ log }) => {
      const id = randomUUID();
      const names = ['', '-', ' ', '\n', '\u0000', '\u0000a', '%', "'", '"', '\\', 'é', 'e\u0301', '👩🏽‍🚀', 'A', 'a'].map(
        (end) => `mission-${id}${end}`,
      );

      await Promise.all(names.map((name) => log.append(name, [newEvent({ data: { name } })], 'no-stream')));

      for (const name of names) {
        const events = await collect(log.readStream(name));
        expect(events.map(({ stream, data }) => ({ stream, data }))).toEqual([{ stream: name, data: { name } }]);
      }
    });
  });

  describe('a repeated append', () => {
    for (const expected of ['no-stream', 1n] as const) {
      test(`at ${String(expected)} returns the stored result`, async ({ log }) => {
        const stream = newStream();
        if (expected === 1n) await log.append(stream, newEvents(2), 'no-stream');
        const events = newEvents(3);
        const first = await log.append(stream, events, expected);
        await log.append(stream, newEvents(2), 'any');
        const head = await log.head();

        expect(await log.append(stream, events, expected)).toEqual(first);
        expect(await log.head()).toBe(head);
      });
    }

    test('made many times concurrently is stored once, with equal results', async ({ log }) => {
      const stream = newStream();
      const events = newEvents(3);

      const answers = await Promise.all(Array.from({ length: 50 }, () => log.append(stream, events, 'no-stream')));

      expect(new Set(answers.map(({ position }) => position)).size).toBe(1);
      expect(new Set(answers.map(({ revision }) => revision))).toEqual(new Set([2n]));
      expect(idsOf(await collect(log.readStream(stream)))).toEqual(idsOf(events));
    });

    test('with other ids is a conflict', async ({ log }) => {
      const stream = newStream();
      const events = newEvents(2);
      await log.append(stream, events, 'no-stream');

      const others = events.map((event) => ({ ...event, id: randomUUID() }));
      await expect(log.append(stream, others, 'no-stream')).rejects.toMatchObject({
        expected: 'no-stream',
        actual: 1n,
      });
    });

    test('with only some of the ids is a conflict', async ({ log }) => {
      const stream = newStream();
      const [first, second, third] = [newEvent(), newEvent(), newEvent()];
      await log.append(stream, [first, second], 'no-stream');

      for (const events of [
        [first, third],
        [third, second],
        [second, first],
        [first, second, third],
      ]) {
        await expect(log.append(stream, events, 'no-stream')).rejects.toMatchObject({
          expected: 'no-stream',
          actual: 1n,
        });
      }
      expect(idsOf(await collect(log.readStream(stream)))).toEqual(idsOf([first, second]));
    });

    test('at another revision or on another stream is another append', async ({ log }) => {
      const stream = newStream();
      const events = newEvents(2);
      await log.append(stream, events, 'no-stream');

      await expect(log.append(stream, events, 0n)).rejects.toMatchObject({ expected: 0n, actual: 1n });
      expect(await log.append(newStream(), events, 'no-stream')).toMatchObject({ revision: 1n });
    });
  });
}
