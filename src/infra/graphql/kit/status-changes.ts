import { setTimeout as delay } from 'node:timers/promises';
import { LinkedSignal } from '../../platform/linked-signal.js';

/** How long a subscription of a status rests between two values, in milliseconds. */
const INTERVAL_MS = 200;

/**
 * A status: now, and after it may have changed.
 * @param read gives the status as it is shown
 * @param changed resolves when the status may have changed, or with the signal
 */
export async function* statusChanges<S>(
  read: () => Promise<S>,
  changed: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): AsyncIterable<S> {
  let last = '';
  while (!signal.aborted) {
    const waiting = new LinkedSignal(signal);
    // What changes from here on, though it be before the status is read or while it is taken, is told.
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
