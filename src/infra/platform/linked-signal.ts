import { setMaxListeners } from 'node:events';

/** The abort reason of every linked signal. It is shared, because creating an error each time would cost more than all else. */
const OVER = new Error('The operation has ended.');

/**
 * A signal that is aborted together with any of several others, or by `end`. Unlike the result of AbortSignal.any, it leaves
 * nothing attached to the others, which may live much longer.
 */
export class LinkedSignal {
  readonly #own = new AbortController();
  readonly #others: readonly AbortSignal[];

  constructor(...others: readonly AbortSignal[]) {
    this.#others = others;
    // Many signals may be linked to a long-lived one.
    if (others.length > 0) setMaxListeners(0, ...others);
    for (const other of others) other.addEventListener('abort', this.end);
    if (others.some(({ aborted }) => aborted)) this.end();
  }

  get signal(): AbortSignal {
    return this.#own.signal;
  }

  readonly end = (): void => {
    this.unlink();
    this.#own.abort(OVER);
  };

  /** Detaches the signal: from now on it is not aborted with the others. */
  unlink(): void {
    for (const other of this.#others) other.removeEventListener('abort', this.end);
  }
}

/** Waits for the first of several promises. Their signal is aborted together with `signal`, and once the wait has ended. */
export async function firstOf<T>(
  signal: AbortSignal,
  wait: (signal: AbortSignal) => readonly Promise<T>[],
): Promise<T> {
  const waiting = new LinkedSignal(signal);
  try {
    return await Promise.race(wait(waiting.signal));
  } finally {
    waiting.end();
  }
}
