import { setTimeout as delay } from 'node:timers/promises';

/** Waits until some work ends, at most `ms` milliseconds. Rejects if the work rejects within that time. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  const timeout = delay(ms, undefined, { signal: waiting.signal }).catch(() => undefined);
  await Promise.race([work, timeout]).finally(() => waiting.abort());
}
