import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { collect, idsOf, newEvent, newEvents, newStream } from '../../../support/events.js';
import { start } from './setup.js';

const SOME = 60;
const MANY = 400;

/** Collects unhandled rejections from now on, which would end a process outside of a test. */
function watchUncaught(): unknown[] {
  const uncaught: unknown[] = [];
  const note = (error: unknown) => void uncaught.push(error);
  process.on('unhandledRejection', note);
  onTestFinished(() => void process.off('unhandledRejection', note));
  return uncaught;
}

it('appends hundreds at a time to a slow server, which is more than the client can hold', async () => {
  const latency = 1_500;
  const { log } = await start({ latency });
  const since = performance.now();

  await Promise.all(Array.from({ length: MANY }, () => log.append(newStream(), [newEvent()], 'no-stream')));

  // One append is sent first on a new connection; 64 at a time would take six times as long as all others together.
  expect(performance.now() - since).toBeLessThan(latency * 4);
});

it.each([10, 1_000, 20_000])(
  'never makes the client hold too many appends, of %i bytes each, on a stalled connection',
  async (bytes) => {
    const { server, log } = await start();
    const uncaught = watchUncaught();
    const appends = Array.from({ length: SOME }, () => ({
      stream: newStream(),
      events: newEvents(2, { data: { text: 'x'.repeat(bytes) } }),
    }));
    await Promise.all(Array.from({ length: SOME }, () => log.append(newStream(), [newEvent()], 'no-stream')));
    server.stall();
    const answers = Promise.all(appends.map(({ stream, events }) => log.append(stream, events, 'no-stream')));
    await delay(50);
    server.drop();
    server.unstall();
    await answers;

    for (const { stream, events } of appends)
      expect(idsOf(await collect(log.readStream(stream)))).toEqual(idsOf(events));
    expect(uncaught).toEqual([]);
  },
);
