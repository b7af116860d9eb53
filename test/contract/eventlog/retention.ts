import { describe, expect } from 'vitest';
import type { ExpectedRevision } from '../../../src/infra/eventlog/eventlog.js';
import { collect, expectLogError, follow, idsOf, newEvent, newEvents, newStream } from '../../support/events.js';
import type { LogTest } from './log-test.js';

export function retentionContract(test: LogTest): void {
  describe('truncate', () => {
    test('removes the events below a revision and nothing else', async ({ log }) => {
      const [stream, other] = [newStream(), newStream()];
      await log.append(stream, newEvents(5), 'no-stream');
      await log.append(other, newEvents(5), 'no-stream');
      const events = await collect(log.readStream(stream));

      await log.truncate(stream, 3n);

      expect(await collect(log.readStream(stream))).toEqual(events.slice(3));
      expect(await collect(log.readStream(stream, { from: 1n }))).toEqual(events.slice(3));
      expect(await collect(log.readStream(stream, { limit: 1 }))).toEqual(events.slice(3, 4));
      expect(await collect(log.readStream(stream, { direction: 'backward' }))).toEqual(events.slice(3).toReversed());
      expect(await collect(log.readStream(stream, { direction: 'backward', from: 2n }))).toEqual([]);
      expect(await collect(log.readStream(other))).toHaveLength(5);
    });

    test('changes neither revisions nor the expected revision of the next append', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, newEvents(5), 'no-stream');
      await log.truncate(stream, 4n);

      for (const expected of ['no-stream', 0n, 3n] as const) {
        await expect(log.append(stream, [newEvent()], expected)).rejects.toMatchObject({ expected, actual: 4n });
      }
      expect(await log.append(stream, [newEvent()], 4n)).toMatchObject({ revision: 5n });
      expect(await log.append(stream, [newEvent()], 'exists')).toMatchObject({ revision: 6n });
      expect((await collect(log.readStream(stream))).map(({ revision }) => revision)).toEqual([4n, 5n, 6n]);
    });

    test('always keeps the last event', async ({ log }) => {
      const stream = newStream();
      const events = newEvents(3);
      await log.append(stream, events, 'no-stream');

      for (const before of [3n, 1_000n]) {
        await log.truncate(stream, before);
        expect(idsOf(await collect(log.readStream(stream)))).toEqual(idsOf(events.slice(2)));
      }
    });

    test('changes nothing when repeated, below the first revision, or on a stream that does not exist', async ({
      log,
    }) => {
      const stream = newStream();
      await log.append(stream, newEvents(4), 'no-stream');
      const head = await log.head();

      await log.truncate(newStream(), 5n);
      await log.truncate(stream, 0n);
      expect(await collect(log.readStream(stream))).toHaveLength(4);
      await log.truncate(stream, 2n);
      await log.truncate(stream, 2n);
      await log.truncate(stream, 1n);

      expect(await collect(log.readStream(stream))).toHaveLength(2);
      expect(await log.head()).toBeGreaterThanOrEqual(head);
    });

    test('works again on later events', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, newEvents(4), 'no-stream');
      await log.truncate(stream, 100n);
      await log.append(stream, newEvents(4), 3n);
      await log.truncate(stream, 6n);

      expect((await collect(log.readStream(stream))).map(({ revision }) => revision)).toEqual([6n, 7n]);
    });
  });

  describe('tombstone', () => {
    const EXPECTED: readonly ExpectedRevision[] = ['any', 'no-stream', 'exists', 2n, 3n];

    for (const expected of EXPECTED) {
      test(`refuses appends expecting ${String(expected)} from then on`, async ({ log }) => {
        const stream = newStream();
        await log.append(stream, newEvents(3), 'no-stream');
        await log.tombstone(stream);
        await expectLogError(log.append(stream, [newEvent()], expected), 'STREAM_TOMBSTONED');
      });
    }

    test('makes a stream read as empty, and leaves the others unchanged', async ({ log }) => {
      const [stream, other] = [newStream(), newStream()];
      await log.append(stream, newEvents(3), 'no-stream');
      await log.append(other, newEvents(3), 'no-stream');

      await log.tombstone(stream);
      await log.tombstone(stream);

      expect(await collect(log.readStream(stream))).toEqual([]);
      expect(await collect(log.readStream(stream, { direction: 'backward' }))).toEqual([]);
      expect(await collect(log.readStream(other))).toHaveLength(3);
      expect(await log.append(other, [newEvent()], 2n)).toMatchObject({ revision: 3n });
    });

    test('ends a stream before its first event', async ({ log }) => {
      const stream = newStream();
      await log.tombstone(stream);
      await expectLogError(log.append(stream, [newEvent()], 'no-stream'), 'STREAM_TOMBSTONED');
      expect(await collect(log.readStream(stream))).toEqual([]);
    });

    test('lets concurrent appends succeed or refuses them as STREAM_TOMBSTONED', async ({ log }) => {
      const stream = newStream();
      const appending = Array.from({ length: 100 }, () => log.append(stream, [newEvent()], 'any'));
      const [, ...outcomes] = await Promise.allSettled([log.tombstone(stream), ...appending]);

      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'STREAM_TOMBSTONED' });
      }
      expect(await collect(log.readStream(stream))).toEqual([]);
    });

    test('never lets a position be used again', async ({ log }) => {
      const stream = newStream();
      const { position } = await log.append(stream, newEvents(3), 'no-stream');
      await log.tombstone(stream);
      const head = await log.head();
      expect(head).toBeGreaterThanOrEqual(position);

      const next = await log.append(newStream(), [newEvent()], 'no-stream');
      expect(next.position).toBeGreaterThan(head);
    });

    test('does not keep a subscription from reaching the head', async ({ log }) => {
      const stream = newStream();
      await log.append(stream, newEvents(3), 'no-stream');
      let target: bigint | undefined;
      const followed = await follow(
        log,
        { after: 0n },
        ({ live, through }) => live && target !== undefined && through >= target,
        async ({ live }) => {
          if (!live || target !== undefined) return;
          await log.tombstone(stream);
          target = await log.head();
        },
      );
      expect(followed.through).toBeGreaterThanOrEqual(await log.head());
    });
  });
}
