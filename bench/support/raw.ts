import sqlite3 from 'sqlite3';

/** The `sqlite3` package with only promises and prepared statements, for measuring limits. */
export class RawDatabase {
  readonly #database: sqlite3.Database;
  readonly #statements: RawStatement[] = [];

  private constructor(database: sqlite3.Database) {
    this.#database = database;
  }

  static open(path: string): Promise<RawDatabase> {
    return new Promise((resolve, reject) => {
      const database = new sqlite3.Database(path, (error) => {
        if (error) reject(error);
        else resolve(new RawDatabase(database));
      });
    });
  }

  exec(sql: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#database.exec(sql, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  prepare(sql: string): RawStatement {
    const statement = new RawStatement(this.#database.prepare(sql));
    this.#statements.push(statement);
    return statement;
  }

  async close(): Promise<void> {
    for (const statement of this.#statements) await statement.finalize();
    return new Promise((resolve, reject) => {
      this.#database.close((error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

/** A prepared statement. */
export class RawStatement {
  readonly #statement: sqlite3.Statement;

  constructor(statement: sqlite3.Statement) {
    this.#statement = statement;
  }

  run(params: readonly unknown[] = []): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#statement.run(params, (error: Error | null) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  all<R>(params: readonly unknown[] = []): Promise<R[]> {
    return new Promise((resolve, reject) => {
      this.#statement.all(params, (error: Error | null, rows: R[]) => {
        if (error) reject(error);
        else resolve(rows);
      });
    });
  }

  finalize(): Promise<void> {
    return new Promise((resolve) => {
      this.#statement.finalize(() => {
        resolve();
      });
    });
  }
}
