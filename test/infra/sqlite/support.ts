import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { Pool } from '../../../src/infra/sqlite/pool.js';

/** The path of a database file that does not exist yet, in a folder that is removed after the test. */
export async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-sqlite-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'test.db');
}

/** A connection that closes with the test. */
export async function connect(path: string, mode: 'read' | 'write' = 'write'): Promise<Connection> {
  const connection = await Connection.open(path, mode);
  onTestFinished(() => connection.close());
  return connection;
}

/** A file with the table `item (id INTEGER PRIMARY KEY, name TEXT, size INTEGER)`, in WAL mode. */
export async function fileWithItems(): Promise<string> {
  const path = await newFile();
  const connection = await Connection.open(path, 'write');
  await connection.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER);
  `);
  await connection.close();
  return path;
}

/** A pool over a new file with items; the test closes it. */
export async function openPool(size: number): Promise<Pool> {
  return Pool.open(await fileWithItems(), 'write', size);
}

/** Whether a promise is still pending after all due work has run. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return !settled;
}
