import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Connection } from '../../sqlite/connection.js';
import { findFormat, markFormat, type FileFormat } from '../../sqlite/file-format.js';
import { ProcessLock } from '../../sqlite/process-lock.js';

/** The marks of a broker's file: "ShBr". */
const FORMAT: FileFormat = { applicationId: 0x53684272, version: 1 };
/** How long to wait for another broker that may be stopping, in milliseconds. */
const LOCK_WAIT_MS = 500;

/**
 * `position` is the order in which records were created; a value is never reused. `meta` and `prices` are JSON in Python's
 * text. Times are Unix seconds, by the broker's clock.
 */
const SCHEMA = `
  CREATE TABLE quorums (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    required REAL NOT NULL,
    meta TEXT NOT NULL,
    ts INTEGER NOT NULL,
    finalized INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, id)
  );
  CREATE INDEX quorums_by_kind ON quorums (kind, position);
  CREATE INDEX quorums_to_drop ON quorums (finalized DESC);
  CREATE TABLE acks (
    quorum INTEGER NOT NULL,
    node TEXT NOT NULL,
    ts INTEGER NOT NULL,
    w REAL NOT NULL,
    PRIMARY KEY (quorum, node)
  ) WITHOUT ROWID;
  CREATE TABLE hosts (
    node TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    prices TEXT NOT NULL,
    free_bytes INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    score REAL NOT NULL,
    score_at INTEGER NOT NULL
  ) WITHOUT ROWID;
`;

/** BROKER_BUSY: another broker runs on the folder. BROKER_FORMAT: the file is not one that this version reads. */
export type StoreErrorCode = 'BROKER_BUSY' | 'BROKER_FORMAT';

/** A broker's file cannot be used; the message states what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** An open `broker.db`: one connection writes, another reads committed data. */
export interface StoreFile {
  readonly writer: Connection;
  readonly reader: Connection;
  close(): Promise<void>;
}

/** Opens a broker's file exclusively, and creates it if it does not exist. @throws StoreError, SqliteError */
export async function openStoreFile(folder: string): Promise<StoreFile> {
  await mkdir(folder, { recursive: true });
  const lockPath = join(folder, 'broker.lock');
  const lock = await ProcessLock.take(lockPath, LOCK_WAIT_MS);
  if (lock === undefined) {
    throw new StoreError(
      'BROKER_BUSY',
      `Another broker runs on this folder (${lockPath} is locked). Stop it, or start this one with another name or folder.`,
    );
  }
  const opened: { close(): Promise<void> }[] = [{ close: () => lock.release() }];
  const close = async () => {
    for (const part of opened.reverse()) await part.close();
  };
  try {
    const path = join(folder, 'broker.db');
    const writer = await Connection.open(path, 'write');
    opened.push(writer);
    await prepare(writer, path);
    const reader = await Connection.open(path, 'read');
    opened.push(reader);
    return { writer, reader, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function prepare(writer: Connection, path: string): Promise<void> {
  const { is } = await findFormat(writer, FORMAT);
  if (is !== 'NEW' && is !== 'OURS') {
    throw new StoreError(
      'BROKER_FORMAT',
      `${path} is not a file that this version of Sheratan can read. Upgrade Sheratan, or move the file away: a broker is only advisory.`,
    );
  }
  await writer.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  if (is !== 'NEW') return;
  await writer.transaction('BEGIN IMMEDIATE', async () => {
    await writer.exec(SCHEMA);
    await markFormat(writer, FORMAT);
  });
}
