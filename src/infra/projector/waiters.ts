/** Callers that wait until a position is reached, each with its own timeout. */
export class Waiters {
  readonly #waiting = new Set<{ readonly position: bigint; readonly resolve: (reached: boolean) => void }>();

  /** Resolves true once the position is `reached`; false after the timeout, when the signal is aborted, or on `dismiss`. */
  wait(position: bigint, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = () => {
        waiter.resolve(false);
      };
      const waiter = {
        position,
        resolve: (reached: boolean) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', giveUp);
          this.#waiting.delete(waiter);
          resolve(reached);
        },
      };
      const timer = setTimeout(giveUp, timeoutMs);
      this.#waiting.add(waiter);
      if (signal?.aborted === true) giveUp();
      else signal?.addEventListener('abort', giveUp, { once: true });
    });
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Records that everything up to a position is reached. */
  reached(position: bigint): void {
    for (const waiter of this.#waiting) if (waiter.position <= position) waiter.resolve(true);
  }

  /** Resolves all waiters with false. */
  dismiss(): void {
    for (const waiter of this.#waiting) waiter.resolve(false);
  }
}
