import { describe, expect } from 'vitest';
import { collect, idsOf, newEvent, newEvents, newStream } from '../../support/events.js';
import type { LogTest } from './log-test.js';

export function closeContract(test: LogTest): void {
  describe('close', () => {
    test('finishes the appends that were made before it', async ({ underTest: { log, reopen } }) => {
      const events = newEvents(200);
      const appending = events.map((event) => log.append(newStream(), [event], 'no-stream'));
      await log.close();

      expect(await Promise.allSettled(appending)).toEqual(
        events.map(() => ({ status: 'fulfilled', value: { revision: 0n, position: expect.any(BigInt) } })),
      );
      expect(new Set(idsOf(await collect((await reopen()).readAll())))).toEqual(new Set(idsOf(events)));
    });

    for (const moment of ['while it closes', 'afterwards'] as const) {
      test(`refuses everything ${moment}`, async ({ log }) => {
        const stream = newStream();
        await log.append(stream, newEvents(3), 'any');
        const closing = log.close();
        if (moment === 'afterwards') await closing;

        const { signal } = new AbortController();
        const refused = await Promise.allSettled([
          log.append(stream, [newEvent()], 'any'),
          log.head(),
          collect(log.readStream(stream)),
          collect(log.readAll()),
          collect(log.subscribe({ after: 0n, signal })),
        ]);
        await closing;

        for (const outcome of refused) {
          expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'LogError', code: 'LOG_CLOSED' } });
        }
      });
    }

    test('may be called twice', async ({ log }) => {
      await Promise.all([log.close(), log.close()]);
      await log.close();
    });

    test('ends subscriptions with an error, whether they wait or are being read', async ({ log }) => {
      await log.append(newStream(), newEvents(50), 'any');
      const subscriptions = [1, 7, 1_000].map(async (batchSize) => {
        const { signal } = new AbortController();
        for await (const _ of log.subscribe({ after: 0n, signal, batchSize })) {
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      });
      const ended = Promise.allSettled(subscriptions);
      await new Promise((resolve) => setTimeout(resolve, 50));

      await log.close();

      for (const outcome of await ended) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'LOG_CLOSED' } });
      }
    });

    test('causes no error in a subscription that its own signal has ended', async ({ log }) => {
      const controller = new AbortController();
      const subscription = collect(log.subscribe({ after: 0n, signal: controller.signal }));
      await log.append(newStream(), [newEvent()], 'any');
      controller.abort();
      await log.close();
      expect((await subscription).flatMap(({ events }) => events).length).toBeLessThanOrEqual(1);
    });
  });

  describe('reopening', () => {
    test('finds the same log', async ({ underTest: { log, reopen } }) => {
      const [stream, other] = [newStream(), newStream()];
      for (const name of [stream, other]) await log.append(name, newEvents(5), 'no-stream');
      const [all, head] = [await collect(log.readAll()), await log.head()];
      await log.close();

      const reopened = await reopen();

      expect(reopened.logId).toBe(log.logId);
      expect(log.logId).toMatch(/^[0-9a-z]{6}$/);
      expect(await reopened.head()).toBe(head);
      expect(await collect(reopened.readAll())).toEqual(all);
      await expect(reopened.append(stream, [newEvent()], 'no-stream')).rejects.toMatchObject({ actual: 4n });
      expect(await reopened.append(other, [newEvent()], 4n)).toMatchObject({ revision: 5n });
    });
  });
}
