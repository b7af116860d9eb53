import {
  CompiledQuery,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
} from 'kysely';
import type { Connection, Param } from './connection.js';
import type { Pool } from './pool.js';

/** A Kysely dialect over a pool of `sqlite3` connections. Kysely's own SQLite dialect expects a synchronous driver. */
export function sqliteDialect(pool: Pool): Dialect {
  return {
    createDriver: () => new PoolDriver(pool),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db as never),
  };
}

class PoolDriver implements Driver {
  readonly #pool: Pool;
  readonly #wrapped = new WeakMap<Connection, PoolConnection>();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await this.#pool.acquire();
    let wrapped = this.#wrapped.get(connection);
    if (wrapped === undefined) {
      wrapped = new PoolConnection(connection);
      this.#wrapped.set(connection, wrapped);
    }
    return wrapped;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('BEGIN'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('COMMIT'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('ROLLBACK'));
  }

  releaseConnection(connection: DatabaseConnection): Promise<void> {
    if (connection instanceof PoolConnection) this.#pool.release(connection.inner);
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    return this.#pool.close();
  }
}

class PoolConnection implements DatabaseConnection {
  readonly inner: Connection;

  constructor(inner: Connection) {
    this.inner = inner;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const params = query.parameters as readonly Param[];
    if (query.query.kind === 'SelectQueryNode' || query.query.kind === 'RawNode') {
      return { rows: await this.inner.all<R>(query.sql, params) };
    }
    const { changes } = await this.inner.run(query.sql, params);
    return { rows: [], numAffectedRows: BigInt(changes) };
  }

  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    await Promise.resolve();
    throw new Error('streaming queries are not supported; read in pages');
  }
}
