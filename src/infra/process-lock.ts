import { Connection, SqliteError } from './sqlite/connection.js';

/**
 * A lock that one process at a time can hold, and that ends with the process however it ends: an exclusive transaction
 * on a small SQLite file, hence a lock of the operating system.
 */
export class ProcessLock {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Takes the lock; `undefined` when another process holds it (after waiting a few seconds for it to go). */
  static async take(path: string): Promise<ProcessLock | undefined> {
    const connection = await Connection.open(path, 'write');
    try {
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
