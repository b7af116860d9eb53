import { LRUCache } from 'lru-cache';
import sqlite3 from 'sqlite3';

/**
 * A value that can be bound to a statement. A bigint is bound as text, which columns of INTEGER affinity convert back; the
 * driver itself would bind NULL.
 */
export type Param = string | number | bigint | boolean | null | Uint8Array;

/** A row as the driver returns it. Integers over 2⁵³ must be cast to TEXT in the statement. */
export type Row = Record<string, unknown>;

/** How long a statement waits for another process's lock, in milliseconds. */
const BUSY_TIMEOUT_MS = 5_000;
/** Prepared statements kept for each connection. */
const MAX_STATEMENTS = 128;

/** An error of SQLite, with the statement that caused it. */
export class SqliteError extends Error {
  override readonly name = 'SqliteError';
  /** SQLite's own name for the failure, such as `SQLITE_FULL`. */
  readonly code: string;

  constructor(cause: Error, context: string) {
    super(`${cause.message} (${context})`, { cause });
    this.code = 'code' in cause && typeof cause.code === 'string' ? cause.code : 'SQLITE_ERROR';
  }
}

/** A statement that can be used immediately: calls wait until it is prepared. */
interface Prepared {
  readonly statement: sqlite3.Statement;
  /** Rejects when the statement could not be prepared; the driver then drops the waiting calls without an error. */
  readonly ready: Promise<void>;
}

/**
 * One SQLite connection whose statements run on libuv's thread pool, so that an fsync never blocks the event loop.
 * Statements are prepared once. Only `all` and `run` are used: a prepared `get` would leave its read transaction open.
 */
export class Connection {
  readonly #database: sqlite3.Database;
  readonly #path: string;
  readonly #statements: LRUCache<string, Prepared>;

  private constructor(database: sqlite3.Database, path: string) {
    this.#database = database;
    this.#path = path;
    this.#statements = new LRUCache({
      max: MAX_STATEMENTS,
      dispose: ({ statement }) => {
        statement.finalize();
      },
    });
  }

  /**
   * Opens a file. Whether it is a database is checked only at the first statement.
   * @throws SqliteError when it cannot be opened
   */
  static async open(path: string, mode: 'read' | 'write'): Promise<Connection> {
    const flags =
      mode === 'read' ? sqlite3.OPEN_READONLY : sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_FULLMUTEX;
    const database = await new Promise<sqlite3.Database>((resolve, reject) => {
      const opened = new sqlite3.Database(path, flags, (error) => {
        if (error) reject(new SqliteError(error, `opening ${path}`));
        else resolve(opened);
      });
    });
    database.configure('busyTimeout', BUSY_TIMEOUT_MS);
    return new Connection(database, path);
  }

  /** Runs a statement and returns all of its rows. @throws SqliteError */
  all<R = Row>(sql: string, params: readonly Param[] = []): Promise<R[]> {
    const { statement, ready } = this.#prepared(sql);
    return new Promise((resolve, reject) => {
      ready.catch(reject);
      statement.all(params.map(bindable), (error: Error | null, rows: R[]) => {
        if (error) reject(this.#failure(error, sql));
        else resolve(rows);
      });
    });
  }

  /** Runs a statement that changes rows; returns how many. @throws SqliteError */
  run(sql: string, params: readonly Param[] = []): Promise<{ readonly changes: number }> {
    const { statement, ready } = this.#prepared(sql);
    return new Promise((resolve, reject) => {
      const failure = (error: Error) => this.#failure(error, sql);
      ready.catch(reject);
      statement.run(params.map(bindable), function (error: Error | null) {
        if (error) reject(failure(error));
        else resolve({ changes: this.changes });
      });
    });
  }

  /** Runs a script of several statements without parameters. @throws SqliteError */
  exec(sql: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#database.exec(sql, (error) => {
        if (error) reject(this.#failure(error, sql));
        else resolve();
      });
    });
  }

  /** Runs `work` in one transaction; rolls back when it throws. The caller keeps other work off this connection meanwhile. */
  async transaction<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => Promise<T>): Promise<T> {
    await this.run(begin);
    try {
      const result = await work();
      await this.run('COMMIT');
      return result;
    } catch (error) {
      // After some failures (a full disk) SQLite has already rolled back, and this ROLLBACK fails.
      await this.run('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  /** Makes running statements fail with SQLITE_INTERRUPT. */
  interrupt(): void {
    this.#database.interrupt();
  }

  /** Waits for running statements and closes the file. */
  close(): Promise<void> {
    this.#statements.clear();
    return new Promise((resolve, reject) => {
      this.#database.close((error) => {
        if (error) reject(this.#failure(error, 'close'));
        else resolve();
      });
    });
  }

  #prepared(sql: string): Prepared {
    const cached = this.#statements.get(sql);
    if (cached !== undefined) return cached;
    let settle: (error: Error | null) => void = () => undefined;
    const ready = new Promise<void>((resolve, reject) => {
      settle = (error) => {
        if (error === null) resolve();
        else reject(this.#failure(error, sql));
      };
    });
    const statement = this.#database.prepare(sql, (error: Error | null) => {
      if (error) this.#statements.delete(sql);
      settle(error);
    });
    const prepared = { statement, ready };
    this.#statements.set(sql, prepared);
    return prepared;
  }

  #failure(error: Error, sql: string): SqliteError {
    return new SqliteError(error, `${this.#path}: ${sql.length > 120 ? `${sql.slice(0, 120)}…` : sql}`);
  }
}

function bindable(value: Param): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value;
}
