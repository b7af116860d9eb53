import { Connection, SqliteError } from './connection.js';

/**
 * A lock that one process at a time can hold, and that is released when the process ends, for any reason. It is an exclusive
 * transaction on a small SQLite file, and therefore a lock of the operating system.
 */
export class ProcessLock {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Takes the lock; undefined when another process holds it.
   * @param waitMs how long to wait until that process releases it, in milliseconds; 5,000 by default
   * @throws SqliteError when the file cannot be opened or locked for another reason
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

  /** Releases the lock. */
  async release(): Promise<void> {
    await this.#connection.close();
  }
}
