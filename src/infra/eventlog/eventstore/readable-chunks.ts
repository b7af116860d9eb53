import type { Readable } from 'node:stream';
import { Nudge } from '../../platform/nudge.js';
import { NoAnswer } from './failures.js';

/** The most items in one chunk. */
const MAX_TAKEN = 256;

/** How to read a stream of the client. */
export interface Pulling {
  readonly signal: AbortSignal;
  /** How long the server may send nothing, in milliseconds. */
  readonly answerMs: number;
  /** Whether the server may be silent without a limit. */
  readonly isPatient: () => boolean;
  /** Ends the call of the stream, because abandoning the stream does not. */
  readonly cancel: () => Promise<void>;
}

/**
 * Yields the items of a stream in chunks: all items that are ready, up to MAX_TAKEN. Ends when the stream ends or the
 * signal aborts.
 * @throws the stream's error, or NoAnswer
 */
export async function* readableChunks<T>(stream: Readable, pulling: Pulling): AsyncIterable<T[]> {
  const { signal, answerMs, isPatient, cancel } = pulling;
  const changed = new Nudge();
  let failure: { readonly error: unknown } | undefined;
  let hasEnded = false;
  // Errors may also occur after this generator has ended: without a listener they would end the process.
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
    // Not awaited: it waits for a connection, which may never be made.
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
