/** The most work that waits under one key. */
const MAX_WAITING = 1_000;

/** Too much waits under a key already. */
export class TooManyWaiting extends Error {
  override readonly name = 'TooManyWaiting';
  readonly waiting: number;

  constructor(key: string, waiting: number) {
    super(`${waiting} wait under '${key}' already`);
    this.waiting = waiting;
  }
}

/** Lets work under one key go one at a time, in the order it came; under different keys, side by side. */
export class Turns {
  readonly #queues = new Map<string, { readonly last: Promise<unknown>; readonly length: number }>();

  /**
   * Does the work once all that came before it under this key has ended, well or not.
   * @throws TooManyWaiting when 1,000 wait for that already
   */
  async take<R>(key: string, work: () => Promise<R>): Promise<R> {
    const before = this.#queues.get(key);
    const length = before === undefined ? 0 : before.length;
    // The first is under way.
    if (length > MAX_WAITING) throw new TooManyWaiting(key, MAX_WAITING);
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
