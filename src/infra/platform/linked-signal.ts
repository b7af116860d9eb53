import { setMaxListeners } from 'node:events';

/** Why every such signal comes: to make an error each time would take longer than all else. */
const OVER = new Error('It is over.');

/**
 * A signal of its own, which comes with any of some others, or when it is ended. What AbortSignal.any gives leaves something
 * behind with each of the others, which live on.
 */
export class LinkedSignal {
  readonly #own = new AbortController();
  readonly #others: readonly AbortSignal[];

  constructor(...others: readonly AbortSignal[]) {
    this.#others = others;
    // Many may be linked to one that lives long.
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

  /** From now on it does not come with the others. */
  unlink(): void {
    for (const other of this.#others) other.removeEventListener('abort', this.end);
  }
}

/** Waits for the first of some things. They are given a signal, which comes with another, or once the wait is over. */
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
