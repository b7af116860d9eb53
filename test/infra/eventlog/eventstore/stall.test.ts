import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { collect, newEvent, newEvents, newStream } from '../../../support/events.js';
import { Follower, idsIn, openLog, seed, start, startServer } from './setup.js';

/** The longest wait for an expected condition, in milliseconds. */
const PATIENCE = { timeout: 10_000 };

describe.concurrent('a stalled connection', () => {
  it('is replaced when a caller waits for an answer', async ({ onTestFinished: after }) => {
    const { server, log } = await start({}, after);
    await log.append('mission-1', newEvents(3), 'no-stream');
    seed(server, 3_000, ['mission-2']);
    const live = await new Follower(log).has(3_003);
    const past = log
      .subscribe({ after: 0n, batchSize: 50, signal: AbortSignal.timeout(60_000) })
      [Symbol.asyncIterator]();
    const first = await past.next();
    const { accepted } = server;

    server.stall();
    const asked = [
      log.append('mission-1', newEvents(2), 2n),
      log.append('mission-1', newEvents(2), 'any'),
      log.head(),
      collect(log.readStream('mission-1')),
      collect(log.readAll({ limit: 500 })),
    ] as const;
    const reading = (async () => {
      let events = first.done === true ? 0 : first.value.events.length;
      while (events < 3_003) {
        const next = await past.next();
        if (next.done !== true) events += next.value.events.length;
      }
      await past.return?.();
      return events;
    })();
    await delay(6_000);
    await vi.waitFor(() => expect(server.accepted).toBeGreaterThan(accepted), PATIENCE);
    server.unstall();
    const again = performance.now();

    expect((await asked[0]).revision).toBe(4n);
    expect((await asked[1]).revision).toBe(6n);
    await Promise.all(asked);
    await live.has(3_007);
    expect(await reading).toBeGreaterThanOrEqual(3_003);
    expect(performance.now() - again).toBeLessThan(PATIENCE.timeout);
    expect(live.ids).toEqual(await idsIn(log));
    await vi.waitFor(() => expect(server.connections).toBe(1), PATIENCE);
  });

  it('is replaced by its keep-alive when there are no calls', async ({ onTestFinished: after }) => {
    // The client warns that the interval is short.
    const warn = vi.spyOn(console, 'warn').mockReturnValue();
    after(() => {
      warn.mockRestore();
      return Promise.resolve();
    });
    const { server, log: writer } = await start({}, after);
    const log = await openLog(`${server.url}&keepAliveInterval=400&keepAliveTimeout=400`, after);
    const live = await new Follower(log).has(0);
    const { accepted } = server;
    server.stall();
    await vi.waitFor(() => expect(server.accepted).toBeGreaterThan(accepted), { timeout: 8_000 });
    server.unstall();
    await writer.append(newStream(), [newEvent()], 'no-stream');
    await live.has(1);
  });

  it('does not prevent a log from being closed', async ({ onTestFinished: after }) => {
    const { server, log } = await start({}, after);
    const live = await new Follower(log).has(0);
    server.stall();
    await delay(20);
    const startedAt = performance.now();
    await log.close();
    await live.until('end', () => live.isOver);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    server.unstall();
    await vi.waitFor(() => expect(server.connections).toBe(0), PATIENCE);
  });
});

describe('connections that break fifty times under load', () => {
  it('leave no resources behind', async () => {
    const server = await startServer({ noise: 0 });
    const logs = [await openLog(server.url), await openLog(server.url)];
    const followers = await Promise.all(logs.map((log) => new Follower(log).has(0)));
    let isDone = false;
    let appended = 0;
    const working = logs.map(async (log) => {
      while (!isDone) {
        await log.append(newStream(), [newEvent()], 'no-stream');
        appended += 1;
        await log.head();
        await collect(log.readAll({ limit: 5 }));
        await delay(2);
      }
    });
    const tear = async (times: number) => {
      for (let i = 0; i < times; i += 1) {
        await delay(40);
        server.drop();
      }
      await delay(200);
    };

    await tear(15);
    const before = remains();
    await tear(50);
    // Pending work that the first check found is gone soon after; leaked resources are not.
    await vi.waitFor(() => {
      const later = remains();
      expect(server.subscriptions).toBeLessThanOrEqual(2 * logs.length);
      expect(later.handles).toBeLessThan(before.handles + 10);
      expect(later.heapMiB).toBeLessThan(before.heapMiB + 12);
    }, PATIENCE);
    // A connection that broke while connecting waits a second before another attempt.
    await delay(2_000);
    await vi.waitFor(() => expect(server.connections).toBe(logs.length), PATIENCE);

    isDone = true;
    await Promise.all(working);
    for (const follower of followers) await follower.has(appended);
    await Promise.all(logs.map((log) => log.close()));
    await vi.waitFor(() => expect([server.connections, server.subscriptions]).toEqual([0, 0]), PATIENCE);
  });
});

/** The resources that the process holds. */
function remains(): { handles: number; heapMiB: number } {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  collectGarbage();
  return {
    handles: process.getActiveResourcesInfo().length,
    heapMiB: process.memoryUsage().heapUsed / 1024 / 1024,
  };
}
