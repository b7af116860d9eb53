import { existsSync } from 'node:fs';
import { Kysely, sql, type Generated } from 'kysely';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SqliteError } from '../../../src/infra/sqlite/connection.js';
import { sqliteDialect } from '../../../src/infra/sqlite/dialect.js';
import { Pool } from '../../../src/infra/sqlite/pool.js';
import { connect, fileWithItems, isPending } from './support.js';

interface Tables {
  item: { id: Generated<number>; name: string; size: number | bigint | null };
}

async function openItems(size = 1): Promise<{ db: Kysely<Tables>; pool: Pool; path: string }> {
  const path = await fileWithItems();
  const pool = await Pool.open(path, 'write', size);
  const db = new Kysely<Tables>({ dialect: sqliteDialect(pool) });
  onTestFinished(() => db.destroy());
  return { db, pool, path };
}

describe('Kysely over a pool', () => {
  it('writes and reads', async () => {
    const { db } = await openItems();
    await db
      .insertInto('item')
      .values([
        { name: 'a', size: 1 },
        { name: 'b', size: null },
      ])
      .execute();
    expect(await db.selectFrom('item').selectAll().orderBy('name').execute()).toEqual([
      { id: 1, name: 'a', size: 1 },
      { id: 2, name: 'b', size: null },
    ]);
  });

  it('binds a bigint as the integer it is, and reads it exactly as text', async () => {
    const { db } = await openItems();
    const size = 2n ** 53n + 1n;
    await db.insertInto('item').values({ name: 'a', size }).execute();
    const row = await db
      .selectFrom('item')
      .select((eb) => eb.cast<string>('size', 'text').as('size'))
      .where('size', '=', size)
      .executeTakeFirstOrThrow();
    expect(BigInt(row.size)).toBe(size);
  });

  it('reports how many rows an update and a deletion changed', async () => {
    const { db } = await openItems();
    await db
      .insertInto('item')
      .values([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
      .execute();
    const updated = await db.updateTable('item').set({ size: 3 }).where('name', '<>', 'a').executeTakeFirstOrThrow();
    expect(updated.numUpdatedRows).toBe(2n);
    const deleted = await db.deleteFrom('item').where('name', '=', 'a').executeTakeFirstOrThrow();
    expect(deleted.numDeletedRows).toBe(1n);
  });

  it('runs raw queries', async () => {
    const { db } = await openItems();
    const { rows } = await sql<{ sum: number }>`SELECT ${1} + ${2} AS sum`.execute(db);
    expect(rows).toEqual([{ sum: 3 }]);
  });

  it('keeps a transaction that succeeds', async () => {
    const { db, path } = await openItems();
    await db.transaction().execute((trx) => trx.insertInto('item').values({ name: 'a' }).execute());
    const other = await connect(path, 'read');
    expect(await other.all('SELECT name FROM item')).toEqual([{ name: 'a' }]);
  });

  it('rolls back a transaction that fails, and returns its connection', async () => {
    const { db } = await openItems();
    const thrown = new Error('no');
    const work = db.transaction().execute(async (trx) => {
      await trx.insertInto('item').values({ name: 'a' }).execute();
      throw thrown;
    });
    await expect(work).rejects.toBe(thrown);
    expect(await db.selectFrom('item').selectAll().execute()).toEqual([]);
  });

  it('keeps a transaction to one connection and other queries to others', async () => {
    const { db } = await openItems(2);
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('item').values({ name: 'a' }).execute();
      expect(await db.selectFrom('item').selectAll().execute()).toEqual([]);
      expect(await trx.selectFrom('item').select('name').execute()).toEqual([{ name: 'a' }]);
    });
  });

  it('waits for a connection when all are lent out', async () => {
    const { db, pool } = await openItems();
    const held = await pool.acquire();
    const query = db.selectFrom('item').selectAll().execute();
    expect(await isPending(query)).toBe(true);
    pool.release(held);
    expect(await query).toEqual([]);
  });

  it('reports an error with the file and the statement, and remains usable', async () => {
    const { db, path } = await openItems();
    await db.insertInto('item').values({ id: 1, name: 'a' }).execute();
    const error: unknown = await db
      .insertInto('item')
      .values({ id: 1, name: 'b' })
      .execute()
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SqliteError);
    expect(error).toMatchObject({
      code: 'SQLITE_CONSTRAINT',
      message: `SQLITE_CONSTRAINT: UNIQUE constraint failed: item.id (${path}: insert into "item" ("id", "name") values (?, ?))`,
    });
    expect(await db.selectFrom('item').select('name').execute()).toEqual([{ name: 'a' }]);
  });

  it('refuses to stream', async () => {
    const { db } = await openItems();
    const rows: unknown[] = [];
    const reading = async () => {
      for await (const row of db.selectFrom('item').selectAll().stream()) rows.push(row);
    };
    await expect(reading()).rejects.toThrow('streaming queries are not supported; read in pages');
    expect(await db.selectFrom('item').selectAll().execute()).toEqual([]);
  });

  it('lists the tables of the file', async () => {
    const { db } = await openItems();
    const [table] = await db.introspection.getTables();
    expect(table?.name).toBe('item');
    expect(table?.columns.map(({ name }) => name)).toEqual(['id', 'name', 'size']);
  });

  it('closes the pool when it is destroyed, after borrowed connections are returned', async () => {
    const { db, pool, path } = await openItems();
    await db.insertInto('item').values({ name: 'a' }).execute();
    const held = await pool.acquire();
    const destroyed = db.destroy();
    expect(await isPending(destroyed)).toBe(true);
    expect(existsSync(`${path}-wal`)).toBe(true);
    pool.release(held);
    await destroyed;
    // SQLite removes the write-ahead log when the last connection closes.
    expect(existsSync(`${path}-wal`)).toBe(false);
  });
});
