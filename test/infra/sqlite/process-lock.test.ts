import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ProcessLock } from '../../../src/infra/sqlite/process-lock.js';
import { SqliteError } from '../../../src/infra/sqlite/connection.js';

const sqlite3 = createRequire(import.meta.url).resolve('sqlite3');

/** A process that takes the lock as ProcessLock does, reports whether it has it, and keeps running. */
const HOLDER = `
  const sqlite3 = require(${JSON.stringify(sqlite3)});
  const database = new sqlite3.Database(process.argv[2]);
  database.configure('busyTimeout', Number(process.argv[3]));
  database.run('BEGIN EXCLUSIVE', (error) => process.send(error === null ? 'held' : error.code));
  setInterval(() => {}, 1000);
`;

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-lock-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** Starts another process that tries to take the lock; returns its report. */
async function otherProcess(folder: string, waitMs = 0): Promise<{ process: ChildProcess; outcome: string }> {
  const script = join(folder, 'holder.cjs');
  await writeFile(script, HOLDER);
  const child = fork(script, [join(folder, 'lock'), String(waitMs)], { execArgv: [] });
  const gone = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  const [outcome] = await once(child, 'message');
  return { process: child, outcome: String(outcome) };
}

async function take(folder: string): Promise<ProcessLock> {
  const lock = await ProcessLock.take(join(folder, 'lock'));
  if (lock === undefined) throw new Error('the lock was not free');
  return lock;
}

describe('a process lock', () => {
  it('is held by one process at a time', async () => {
    const folder = await newFolder();
    const lock = await take(folder);
    expect((await otherProcess(folder)).outcome).toBe('SQLITE_BUSY');
    await lock.release();
    expect((await otherProcess(folder)).outcome).toBe('held');
  });

  it('cannot be taken while another process holds it, and is free once that process is killed', async () => {
    const folder = await newFolder();
    const { process: holder, outcome } = await otherProcess(folder);
    expect(outcome).toBe('held');
    expect(await ProcessLock.take(join(folder, 'lock'))).toBeUndefined();
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    await (await take(folder)).release();
  });

  it('is waited for, for a few seconds', async () => {
    const folder = await newFolder();
    const { process: holder } = await otherProcess(folder);
    const taking = take(folder);
    setTimeout(() => holder.kill('SIGKILL'), 500);
    await (await taking).release();
  });

  it('can be taken again after its release', async () => {
    const folder = await newFolder();
    await (await take(folder)).release();
    await (await take(folder)).release();
  });

  it('cannot be taken where no file can be created', async () => {
    const folder = await newFolder();
    await expect(ProcessLock.take(join(folder, 'nowhere', 'lock'))).rejects.toBeInstanceOf(SqliteError);
  });
});
