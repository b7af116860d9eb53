/** Those who wait for a place in the log to be reached, each for as long as it may. */
export class Waiters {
  readonly #waiting = new Set<{ readonly position: bigint; readonly settle: (reached: boolean) => void }>();

  /** Resolves true once `reached` says so, false after the timeout or when dismissed. */
  wait(position: bigint, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const waiter = {
        position,
        settle: (reached: boolean) => {
          clearTimeout(timer);
          this.#waiting.delete(waiter);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => {
        waiter.settle(false);
      }, timeoutMs);
      this.#waiting.add(waiter);
    });
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Everything up to here is reached. */
  reached(position: bigint): void {
    for (const waiter of this.#waiting) if (waiter.position <= position) waiter.settle(true);
  }

  /** Tells all that it will not come. */
  dismiss(): void {
    for (const waiter of this.#waiting) waiter.settle(false);
  }
}
