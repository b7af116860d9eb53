import { Connection } from './connection.js';

/** A few connections that are lent out one holder at a time; those who find none wait in order. */
export class Pool {
  readonly #connections: readonly Connection[];
  readonly #idle: Connection[];
  readonly #waiting: ((connection: Connection) => void)[] = [];
  #closing: Promise<void> | undefined;

  private constructor(connections: readonly Connection[]) {
    this.#connections = connections;
    this.#idle = [...connections];
  }

  /** Opens `size` connections to a file. */
  static async open(path: string, mode: 'read' | 'write', size: number): Promise<Pool> {
    const opening = Array.from({ length: size }, () => Connection.open(path, mode));
    return new Pool(await Promise.all(opening));
  }

  /** Borrows a connection; give it back with `release`. A pool that closes lends no more. */
  async acquire(): Promise<Connection> {
    if (this.#closing !== undefined) throw new Error('the pool is closed');
    return this.#next();
  }

  release(connection: Connection): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(connection);
    else next(connection);
  }

  /** Borrows a connection for the duration of `work`. */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.acquire();
    try {
      return await work(connection);
    } finally {
      this.release(connection);
    }
  }

  /** Waits for the borrowed to come back, and closes all. Closing again waits for the same. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    await Promise.all(this.#connections.map(async () => (await this.#next()).close()));
  }

  async #next(): Promise<Connection> {
    return this.#idle.pop() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}
