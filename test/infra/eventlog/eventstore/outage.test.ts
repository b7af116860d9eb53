import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import type { EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import { certificateFor } from '../../../support/eventstore/certificates.js';
import { collect, idsOf, newEvent, newEvents, newStream } from '../../../support/events.js';
import { quiet } from '../../../support/quiet.js';
import { Follower, idsIn, openLog, seed, start, startServer } from './setup.js';

/** The longest wait for a server that is gone, in milliseconds: twice the usual. */
const LONGEST_MS = 20_000;
/** How long a call is tried, in milliseconds. */
const PATIENCE_MS = 10_000;
/** The longest wait for the server once it is back, in milliseconds. */
const BACK_MS = 8_000;
/** The longest wait for a refusal once the outage is known, in milliseconds: five times the usual. */
const KNOWN_MS = 500;

const CALLS: Readonly<Record<string, (log: EventLog) => Promise<unknown>>> = {
  append: (log) => log.append(newStream(), [newEvent()], 'no-stream'),
  'an append at any revision': (log) => log.append('mission-1', [newEvent()], 'any'),
  head: (log) => log.head(),
  readStream: (log) => collect(log.readStream('mission-1')),
  readAll: (log) => collect(log.readAll()),
};

async function refusal(call: Promise<unknown>): Promise<{ code: string; message: string; ms: number }> {
  const startedAt = performance.now();
  const [outcome] = await Promise.allSettled([call]);
  const { code, message } = (outcome as PromiseRejectedResult).reason as { code: string; message: string };
  return { code, message, ms: performance.now() - startedAt };
}

describe.concurrent('an outage of more than ten seconds', () => {
  it('is reported to every caller, in time and with what to do, and ends without a restart', async ({
    onTestFinished: after,
  }) => {
    const { server, log } = await start({}, after);
    await log.append('mission-1', newEvents(3), 'no-stream');
    seed(server, 3_000, ['mission-3']);
    const live = await new Follower(log).has(3_003);
    const past = log
      .subscribe({ after: 0n, batchSize: 10, signal: AbortSignal.timeout(60_000) })
      [Symbol.asyncIterator]();
    await past.next();
    const second = await openLog(server.url, after);
    const underWay = newEvent();
    server.faults.onAppend('stallAfter');
    const appending = refusal(log.append('mission-9', [underWay], 'any'));
    await vi.waitFor(() => expect(server.store.streams.has('mission-9')).toBe(true), { timeout: BACK_MS });

    await server.refuse();
    const refusals = () =>
      Promise.all(Object.entries(CALLS).map(async ([name, call]) => ({ name, ...(await refusal(call(log))) })));
    for (const { name, code, message, ms } of await refusals()) {
      expect({ name, code }).toEqual({ name, code: 'LOG_UNAVAILABLE' });
      expect(message).toMatch(/^esdb:\/\/127\.0\.0\.1:\d+ cannot be reached at present/);
      expect(message).not.toContain('\n');
      expect(ms).toBeLessThan(LONGEST_MS);
    }
    const undecided = await appending;
    expect(undecided).toMatchObject({ code: 'LOG_UNAVAILABLE' });
    expect(undecided.message).toContain('may or may not have been recorded: repeat it with the same idempotency key');

    const late = [new Follower(log), new Follower(second)];
    for (const { name, code, ms } of await refusals()) {
      expect({ name, code }).toEqual({ name, code: 'LOG_UNAVAILABLE' });
      expect(ms).toBeLessThan(KNOWN_MS);
    }

    await server.accept();
    const back = performance.now();
    await vi.waitFor(() => log.head(), { timeout: BACK_MS });
    const events = newEvents(2);
    await Promise.all([log, second].map((each, i) => each.append(newStream(), events.slice(i, i + 1), 'no-stream')));
    for (const follower of [live, ...late]) {
      await follower.until('events after the outage', () => idsOf(events).every((id) => follower.ids.includes(id)));
      expect(follower.error).toBeUndefined();
      expect(follower.ids).toEqual(await idsIn(log));
    }
    expect(performance.now() - back).toBeLessThan(2 * BACK_MS);
    const read: string[] = [];
    for (let next = await past.next(); read.length < 2_900; next = await past.next()) {
      if (next.done === true) break;
      read.push(...idsOf(next.value.events));
    }
    expect(read).toEqual(live.ids.slice(10, 10 + read.length));
    await past.return?.();
  });

  it('is reported after ten seconds to callers whose server is silent, and within moments to those who come later', async ({
    onTestFinished: after,
  }) => {
    const { server, log } = await start({}, after);
    await log.append('mission-1', newEvents(3), 'no-stream');
    const refusals = () => Promise.all(Object.values(CALLS).map((call) => refusal(call(log))));
    server.stall();
    for (const { code, ms } of await refusals()) {
      expect(code).toBe('LOG_UNAVAILABLE');
      // It was 15 s, because the first 5 s did not count.
      expect(ms).toBeGreaterThan(PATIENCE_MS - 100);
      expect(ms).toBeLessThan(PATIENCE_MS + 4_000);
    }
    for (const { code, ms } of await refusals()) {
      expect(code).toBe('LOG_UNAVAILABLE');
      expect(ms).toBeLessThan(KNOWN_MS);
    }
    server.unstall();
    await vi.waitFor(() => log.head(), { timeout: BACK_MS });
    await log.append(newStream(), newEvents(1), 'no-stream');
  });

  it('is reported to a caller that opens a log meanwhile; closing and ending a subscription do not wait for it', async ({
    onTestFinished: after,
  }) => {
    const { server, log } = await start({}, after);
    const { url } = server;
    const controller = new AbortController();
    const readers = ['live', 'past', 'new'].map(async (kind) => {
      if (kind === 'past') seed(server, 5_000, ['mission-1']);
      if (kind === 'new') await delay(300);
      for await (const _ of log.subscribe({ after: 0n, batchSize: 10, signal: controller.signal })) {
        if (kind === 'past') await delay(100);
      }
    });
    await delay(200);
    await server.refuse();
    const opening = refusal(EventStoreLog.open(readAddress(url), quiet));
    await delay(500);

    const startedAt = performance.now();
    controller.abort();
    await Promise.all(readers);
    expect(performance.now() - startedAt).toBeLessThan(BACK_MS);
    await log.close();
    expect(performance.now() - startedAt).toBeLessThan(BACK_MS);

    expect(await opening).toMatchObject({ code: 'LOG_UNAVAILABLE' });
    await server.accept();
    await openLog(url, after);
  });

  it('is reported for a server with TLS that is called without TLS', async ({ onTestFinished: after }) => {
    const server = await startServer({ tls: certificateFor('localhost') }, after);
    const { code, message, ms } = await refusal(
      EventStoreLog.open(readAddress(`esdb://127.0.0.1:${server.port}?tls=false`), quiet),
    );
    expect(code).toBe('LOG_UNAVAILABLE');
    expect(message).toMatch(/^esdb:.*closes the connection immediately: if it uses TLS, remove tls=false\.$/);
    expect(ms).toBeLessThan(LONGEST_MS);
  });
});

describe.concurrent('an outage of some seconds', () => {
  it('is over soon after the server is back', async ({ onTestFinished: after }) => {
    const urls = ['', '&keepAliveTimeout=-1', '&keepAliveInterval=-1&keepAliveTimeout=-1'];
    await Promise.all(
      urls.map(async (options) => {
        const { server, log: other } = await start({}, after);
        const log = await openLog(`${server.url}${options}`, after);
        const follower = await new Follower(log).has(0);
        await server.refuse();
        await delay(6_000);
        const head = log.head();
        await server.accept();
        const back = performance.now();
        await head;
        const event = newEvent();
        await other.append(newStream(), [event], 'no-stream');
        await follower.has(1);
        expect(performance.now() - back).toBeLessThan(BACK_MS);
      }),
    );
  });
});
