/** Those who wait for a place in the log to be reached, each for as long as it may. */
export class Waiters {
  readonly #waiting = new Set<{ readonly position: bigint; readonly resolve: (reached: boolean) => void }>();

  /** Resolves true once `reached` says so, false after the timeout, with the signal, or when dismissed. */
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

  /** Everything up to here is reached. */
  reached(position: bigint): void {
    for (const waiter of this.#waiting) if (waiter.position <= position) waiter.resolve(true);
  }

  /** Tells all that it will not come. */
  dismiss(): void {
    for (const waiter of this.#waiting) waiter.resolve(false);
  }
}
