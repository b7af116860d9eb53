/** The most work that waits under one key. */
const MAX_WAITING = 1_000;

/** Runs work under one key one at a time, in the order it came; under different keys, side by side. */
export class KeyedQueue {
  readonly #queues = new Map<string, { readonly last: Promise<unknown>; readonly length: number }>();

  /**
   * Runs the work once all that came before it under this key has ended, well or not.
   * @param full makes the error that is thrown when 1,000 wait already; it is given that number in words
   */
  async run<R>(key: string, work: () => Promise<R>, full: (waiting: string) => Error): Promise<R> {
    const before = this.#queues.get(key);
    const length = before === undefined ? 0 : before.length;
    // The first is under way.
    if (length > MAX_WAITING) throw full(MAX_WAITING.toLocaleString('en'));
    const turn = before === undefined ? work() : before.last.then(work, work);
    this.#queues.set(key, { last: turn, length: length + 1 });
    try {
      return await turn;
    } finally {
      this.#leave(key);
    }
  }

  #leave(key: string): void {
    const queue = this.#queues.get(key);
    if (queue === undefined || queue.length === 1) this.#queues.delete(key);
    else this.#queues.set(key, { last: queue.last, length: queue.length - 1 });
  }
}
