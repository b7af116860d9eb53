import { Connection } from './connection.js';

/** A fixed number of connections, each lent to one holder at a time; when all are lent, callers wait in order. */
export class Pool {
  readonly #connections: readonly Connection[];
  readonly #idle: Connection[];
  readonly #waiting: ((connection: Connection) => void)[] = [];
  #closing: Promise<void> | undefined;

  private constructor(connections: readonly Connection[]) {
    this.#connections = connections;
    this.#idle = [...connections];
  }

  /** Opens `size` connections to a file. @throws SqliteError */
  static async open(path: string, mode: 'read' | 'write', size: number): Promise<Pool> {
    const opening = Array.from({ length: size }, () => Connection.open(path, mode));
    return new Pool(await Promise.all(opening));
  }

  /** Borrows a connection, which must be returned with `release`. @throws Error once `close` was called */
  async acquire(): Promise<Connection> {
    if (this.#closing !== undefined) throw new Error('the pool is closed');
    return this.#next();
  }

  /** Returns a borrowed connection. */
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

  /** Waits until all connections are returned, and closes them. Further calls wait for the same. */
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
