import { setTimeout as delay } from 'node:timers/promises';
import { LinkedSignal } from '../../platform/linked-signal.js';

/** The minimum time between two values of a subscription to a status, in milliseconds. */
const INTERVAL_MS = 200;

/**
 * Yields the current status, and then the status each time it differs from the last one yielded.
 * @param read returns the status as clients see it
 * @param changed resolves when the status may have changed, or when the signal aborts
 */
export async function* statusChanges<S>(
  read: () => Promise<S>,
  changed: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): AsyncIterable<S> {
  let last = '';
  while (!signal.aborted) {
    const waiting = new LinkedSignal(signal);
    // Waiting begins before the status is read, so that no change during the read or the delivery is missed.
    const change = changed(waiting.signal);
    try {
      const status = await read();
      const shown = JSON.stringify(status);
      if (shown !== last) yield status;
      last = shown;
      await delay(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      await change;
    } finally {
      waiting.end();
    }
  }
}
