/** The most pieces of work that wait under one key. */
const MAX_WAITING = 1_000;

/** Runs work with the same key one piece at a time, in the order of arrival; work with different keys runs concurrently. */
export class KeyedQueue {
  readonly #queues = new Map<string, { readonly last: Promise<unknown>; readonly length: number }>();

  /**
   * Runs the work once all earlier work with this key has ended, successfully or not.
   * @param full makes the error that is thrown when 1,000 already wait; it receives that number as text
   * @throws the error of `work`, or the one made by `full`
   */
  async run<R>(key: string, work: () => Promise<R>, full: (waiting: string) => Error): Promise<R> {
    const before = this.#queues.get(key);
    const length = before === undefined ? 0 : before.length;
    // The first is running, not waiting.
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
