import { Connection, SqliteError } from './connection.js';

/**
 * A lock that one process at a time can hold, and that ends with the process however it ends: an exclusive transaction
 * on a small SQLite file, hence a lock of the operating system.
 */
export class ProcessLock {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Takes the lock; `undefined` when another process holds it.
   * @param waitMs how long to wait for that process to go, in milliseconds; a few seconds unless told
   */
  static async take(path: string, waitMs?: number): Promise<ProcessLock | undefined> {
    const connection = await Connection.open(path, 'write');
    try {
      if (waitMs !== undefined) await connection.exec(`PRAGMA busy_timeout = ${waitMs}`);
      await connection.run('BEGIN EXCLUSIVE');
      return new ProcessLock(connection);
    } catch (error) {
      await connection.close();
      if (error instanceof SqliteError && error.code === 'SQLITE_BUSY') return undefined;
      throw error;
    }
  }

  /** Gives the lock up. */
  async release(): Promise<void> {
    await this.#connection.close();
  }
}
