import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Pool } from '../../../src/infra/sqlite/pool.js';
import { connect, fileWithItems, isPending, newFile, openPool } from './support.js';

describe('a pool', () => {
  it('lends out each connection to one holder', async () => {
    const pool = await openPool(3);
    const held = [await pool.acquire(), await pool.acquire(), await pool.acquire()];
    expect(new Set(held).size).toBe(3);
    held.forEach((connection) => pool.release(connection));
    await pool.close();
  });

  it('makes callers wait when no connection is idle, and serves them in order', async () => {
    const pool = await openPool(1);
    const held = await pool.acquire();
    const served: string[] = [];
    const waiting = ['first', 'second', 'third'].map((name) =>
      pool.use(async () => {
        served.push(name);
      }),
    );
    expect(await isPending(Promise.race(waiting))).toBe(true);
    expect(served).toEqual([]);
    pool.release(held);
    await Promise.all(waiting);
    expect(served).toEqual(['first', 'second', 'third']);
    await pool.close();
  });

  it('hands a returned connection to a waiting caller, not to a later one', async () => {
    const pool = await openPool(1);
    const held = await pool.acquire();
    const waiting = pool.acquire();
    pool.release(held);
    const late = pool.acquire();
    expect(await waiting).toBe(held);
    expect(await isPending(late)).toBe(true);
    pool.release(held);
    expect(await late).toBe(held);
    pool.release(held);
    await pool.close();
  });

  it('returns the result of the work, and takes the connection back', async () => {
    const pool = await openPool(1);
    const rows = await pool.use((connection) => connection.all('SELECT 1 AS one'));
    expect(rows).toEqual([{ one: 1 }]);
    expect(await pool.use(async () => 'again')).toBe('again');
    await pool.close();
  });

  it('takes the connection back when the work fails', async () => {
    const pool = await openPool(1);
    await expect(
      pool.use((connection) => connection.run('INSERT INTO item (name) VALUES (?)', [null])),
    ).rejects.toThrow('NOT NULL constraint failed');
    expect(await pool.use(async () => 'again')).toBe('again');
    await pool.close();
  });

  it('reads concurrently with a writer', async () => {
    const path = await fileWithItems();
    const writer = await connect(path);
    const readers = await Pool.open(path, 'read', 2);
    await writer.transaction('BEGIN IMMEDIATE', async () => {
      await writer.run("INSERT INTO item (name) VALUES ('a')");
      expect(await readers.use((reader) => reader.all('SELECT * FROM item'))).toEqual([]);
    });
    expect(await readers.use((reader) => reader.all('SELECT name FROM item'))).toEqual([{ name: 'a' }]);
    await readers.close();
  });

  it('is not opened on a file that cannot be opened', async () => {
    await expect(Pool.open(await newFile(), 'read', 2)).rejects.toMatchObject({ code: 'SQLITE_CANTOPEN' });
  });
});

describe('closing a pool', () => {
  it('waits for a borrowed connection, which works until it is returned', async () => {
    const path = await fileWithItems();
    const pool = await Pool.open(path, 'write', 2);
    const held = await pool.acquire();
    const closed = pool.close();
    expect(await isPending(closed)).toBe(true);
    expect(await held.run("INSERT INTO item (name) VALUES ('last')")).toEqual({ changes: 1 });
    pool.release(held);
    expect(existsSync(`${path}-wal`)).toBe(true);
    await closed;
    // SQLite removes the write-ahead log when the last connection closes.
    expect(existsSync(`${path}-wal`)).toBe(false);
  });

  it('waits for callers that already wait', async () => {
    const pool = await openPool(1);
    const held = await pool.acquire();
    const waiting = pool.use((connection) => connection.all('SELECT 1 AS one'));
    const closed = pool.close();
    pool.release(held);
    expect(await waiting).toEqual([{ one: 1 }]);
    await closed;
  });

  it('can be requested again, and waits for the same', async () => {
    const pool = await openPool(2);
    const held = await pool.acquire();
    const closing = [pool.close(), pool.close()];
    pool.release(held);
    await Promise.all(closing);
    await pool.close();
  });

  it('refuses later callers', async () => {
    const pool = await openPool(1);
    await pool.close();
    await expect(pool.use((connection) => connection.all('SELECT 1'))).rejects.toThrow('the pool is closed');
  });
});
