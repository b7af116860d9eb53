import { describe, expect } from 'vitest';
import { collect, idsOf, newEvent, newEvents, newStream, revisionsTo } from '../../support/events.js';
import type { LogTest } from './log-test.js';

const APPENDERS = 100;

export function concurrencyContract(test: LogTest): void {
  describe(`${APPENDERS} concurrent appenders`, () => {
    test('on one stream with a numeric expected revision: one succeeds at each revision', async ({ log }) => {
      const stream = newStream();
      const winners: string[] = [];
      for (let round = 0n; round < 5n; round += 1n) {
        const events = newEvents(APPENDERS);
        const outcomes = await Promise.allSettled(
          events.map((event) => log.append(stream, [event], round === 0n ? 'no-stream' : round - 1n)),
        );

        winners.push(...idsOf(events.filter((_, i) => outcomes[i]?.status === 'fulfilled')));
        expect(winners).toHaveLength(Number(round) + 1);
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected') {
            expect(outcome.reason).toMatchObject({ code: 'WRONG_EXPECTED_REVISION', actual: round });
          }
        }
      }
      expect(idsOf(await collect(log.readStream(stream)))).toEqual(winners);
    });

    test('on one stream at any revision: all are stored, without gaps', async ({ log }) => {
      const stream = newStream();
      const appends = Array.from({ length: APPENDERS }, (_, i) => newEvents(1 + (i % 3)));

      const answers = await Promise.all(appends.map((events) => log.append(stream, events, 'any')));

      const stored = await collect(log.readStream(stream));
      expect(stored.map(({ revision }) => revision)).toEqual(revisionsTo(appends.flat().length));
      appends.forEach((events, i) => {
        const end = Number(answers[i]?.revision) + 1;
        expect(idsOf(stored.slice(end - events.length, end))).toEqual(idsOf(events));
        expect(stored[end - 1]?.position).toBe(answers[i]?.position);
      });
    });

    test('on separate streams: none affects another', async ({ log }) => {
      const streams = Array.from({ length: APPENDERS }, () => newStream());
      const events = await Promise.all(
        streams.map(async (stream) => {
          const event = newEvent();
          await log.append(stream, [event], 'no-stream');
          await log.append(stream, [newEvent()], 0n);
          return event;
        }),
      );

      for (const [i, stream] of streams.entries()) {
        const stored = await collect(log.readStream(stream));
        expect(stored.map(({ revision }) => revision)).toEqual([0n, 1n]);
        expect(stored[0]?.id).toBe(events[i]?.id);
      }
    });

    test('some of them refused: the others are stored', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, [newEvent()], 'no-stream');
      const outcomes = await Promise.allSettled(
        Array.from({ length: APPENDERS }, (_, i) =>
          i % 2 === 0 ? log.append(newStream(), [newEvent()], 'no-stream') : log.append(stream, [newEvent()], 7n),
        ),
      );

      expect(outcomes.map(({ status }) => status)).toEqual(
        outcomes.map((_, i) => (i % 2 === 0 ? 'fulfilled' : 'rejected')),
      );
    });

    test('get positions that rise in the order of the log', async ({ log }) => {
      const streams = Array.from({ length: 10 }, () => newStream());
      const answers = await Promise.all(
        Array.from({ length: APPENDERS }, (_, i) => log.append(streams[i % 10] ?? '', newEvents(2), 'any')),
      );

      const positions = (await collect(log.readAll())).map(({ position }) => position);
      expect(positions).toHaveLength(2 * APPENDERS);
      expect(positions).toEqual([...new Set(positions)].sort((a, b) => (a < b ? -1 : 1)));
      expect(new Set(answers.map(({ position }) => position))).toEqual(
        new Set(positions.filter((_, i) => i % 2 === 1)),
      );
    });
  });
}
