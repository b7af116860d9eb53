import type { Readable } from 'node:stream';
import { Nudge } from '../../platform/nudge.js';
import { NoAnswer } from './failures.js';

/** The most that is taken at a time. */
const MAX_TAKEN = 256;

/** How a stream of the client is read. */
export interface Pulling {
  readonly signal: AbortSignal;
  /** How long the server may say nothing, in milliseconds. */
  readonly answerMs: number;
  /** Whether it may be silent for as long as it likes. */
  readonly isPatient: () => boolean;
  /** Ends the call behind the stream: leaving the stream does not. */
  readonly cancel: () => Promise<void>;
}

/**
 * Takes from a stream what is ready, as much at a time. Ends when the stream ends or the signal comes.
 * @throws the stream's error, or NoAnswer
 */
export async function* readableChunks<T>(stream: Readable, pulling: Pulling): AsyncIterable<T[]> {
  const { signal, answerMs, isPatient, cancel } = pulling;
  const changed = new Nudge();
  let failure: { readonly error: unknown } | undefined;
  let hasEnded = false;
  // Errors may come after this has been left, too: if nobody listened, they would end the process.
  stream.on('error', (error) => {
    failure ??= { error };
    changed.notify();
  });
  for (const event of ['end', 'close']) {
    stream.on(event, () => {
      hasEnded = true;
      changed.notify();
    });
  }
  stream.on('readable', () => changed.notify());
  try {
    while (!signal.aborted) {
      const items = take<T>(stream);
      if (items.length > 0) {
        yield items;
        continue;
      }
      if (failure !== undefined) throw failure.error;
      if (hasEnded) return;
      const timer = setTimeout(() => {
        if (isPatient()) return;
        failure ??= { error: new NoAnswer(answerMs) };
        changed.notify();
      }, answerMs);
      await changed.wait(signal);
      clearTimeout(timer);
    }
  } finally {
    // It waits for a connection, which may never be: nobody waits for that.
    cancel().catch(() => undefined);
  }
}

function take<T>(stream: Readable): T[] {
  const items: T[] = [];
  while (items.length < MAX_TAKEN) {
    const item = stream.read() as T | null;
    if (item === null) break;
    items.push(item);
  }
  return items;
}
