import pLimit from 'p-limit';
import { Connection, SqliteError } from '../../sqlite/connection.js';
import { findFormat, markFormat, type FileFormat, type FoundFormat } from '../../sqlite/file-format.js';
import { Pool } from '../../sqlite/pool.js';
import type { Fingerprint } from '../protocol/fields.js';
import { RefusalError } from './refusal-error.js';

/** The marks of a host's file: "ShHo". */
const FORMAT: FileFormat = { applicationId: 0x5368486f, version: 2 };
/** The number of pages in the write-ahead log after which SQLite copies it into the file. */
const WAL_AUTOCHECKPOINT_PAGES = 4_000;
/** The number of connections for reading. */
const READERS = 3;
const ADD_BYTES = "UPDATE totals SET bytes = bytes + ? WHERE name = 'used'";

/** The columns of an event. If `sealed` is NULL, the content is a file. */
const EVENT = `
  origin INTEGER NOT NULL REFERENCES origins, sequence INTEGER NOT NULL, etype INTEGER NOT NULL, ts INTEGER NOT NULL,
  eid BLOB NOT NULL, leaf BLOB NOT NULL, bytes INTEGER NOT NULL, sealed BLOB, damaged INTEGER NOT NULL DEFAULT 0`;

/**
 * `events` holds the head's events and, beyond them, the staged ones. If the staged history contradicts the head, the head's
 * last events are in `head_tails` until one of the two is set aside. `evidence` holds the events that were set aside,
 * `evidence_trees` their trees; `memory` holds what the prototype's paths received. Sums of bytes are in `totals`, changed in
 * the same transactions. `host` holds the fingerprint of the host that owns the file.
 */
const SCHEMA = `
  CREATE TABLE host (fingerprint TEXT NOT NULL);
  CREATE TABLE origins (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL UNIQUE, key BLOB NOT NULL,
    claim BLOB, head BLOB, staged BLOB, known BLOB,
    head_sequence INTEGER NOT NULL DEFAULT 0, head_peaks BLOB NOT NULL DEFAULT x'',
    staged_sequence INTEGER NOT NULL DEFAULT 0, staged_peaks BLOB NOT NULL DEFAULT x'',
    common INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE events (${EVENT}, PRIMARY KEY (origin, sequence));
  CREATE INDEX events_by_ts ON events (ts);
  CREATE INDEX events_by_eid ON events (eid);
  CREATE INDEX events_damaged ON events (origin, sequence) WHERE damaged = 1;
  CREATE TABLE head_tails (${EVENT}, PRIMARY KEY (origin, sequence));
  CREATE INDEX head_tails_damaged ON head_tails (origin, sequence) WHERE damaged = 1;
  CREATE TABLE evidence (${EVENT}, PRIMARY KEY (origin, sequence, leaf));
  CREATE TABLE evidence_trees (
    origin INTEGER NOT NULL REFERENCES origins, tree BLOB NOT NULL, kind TEXT NOT NULL, ts INTEGER NOT NULL,
    PRIMARY KEY (origin, tree));
  CREATE TABLE memory (
    eid BLOB PRIMARY KEY, ts INTEGER NOT NULL, etype INTEGER NOT NULL, meta TEXT NOT NULL, score REAL NOT NULL,
    bytes INTEGER NOT NULL, sealed BLOB);
  CREATE INDEX memory_by_ts ON memory (ts);
  CREATE TABLE totals (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
  INSERT INTO totals VALUES ('used', 0);
`;

/** A host's `host.db`: one writer, a few readers. With `synchronous=FULL`, data is on the disk when `write` resolves. */
export class HostFile {
  readonly #connection: Connection;
  readonly #readers: Pool;
  /** One transaction at a time. */
  readonly #exclusively = pLimit(1);
  readonly #budgetBytes: number;
  #usedBytes: number;

  private constructor(connection: Connection, readers: Pool, budgetBytes: number, usedBytes: number) {
    this.#connection = connection;
    this.#readers = readers;
    this.#budgetBytes = budgetBytes;
    this.#usedBytes = usedBytes;
  }

  /**
   * Opens the file of a host, and creates it if it does not exist.
   * @param fingerprint the owner of a new file; undefined to open only an existing file
   * @param budgetBytes the maximum number of bytes kept, evidence and EVENT_BYTES for each event included
   * @throws Error when the file cannot be used; the message names the cause
   */
  static async open(path: string, fingerprint: Fingerprint | undefined, budgetBytes: number): Promise<HostFile> {
    const { connection, usedBytes } = await openConnection(path, fingerprint);
    const readers = await Pool.open(path, 'read', READERS);
    return new HostFile(connection, readers, budgetBytes, usedBytes);
  }

  /** The bytes that count against the budget. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** The fingerprint of the host that owns the file. */
  async fingerprint(): Promise<Fingerprint | undefined> {
    const [row] = await this.read((reader) => reader.all<{ fingerprint: string }>('SELECT fingerprint FROM host'));
    return row?.fingerprint;
  }

  /** Makes another host the owner of the file. Claims that the previous owner granted are not granted by this one. */
  async become(fingerprint: Fingerprint): Promise<void> {
    await this.write(async (connection) => {
      await connection.run('UPDATE host SET fingerprint = ?', [fingerprint]);
      await connection.run('UPDATE origins SET claim = NULL');
      return 0;
    });
  }

  /** Checks the budget for more bytes. @throws RefusalError FULL when they exceed it */
  assertFits(bytes: number): void {
    if (bytes <= 0 || this.#usedBytes + bytes <= this.#budgetBytes) return;
    const message = `${bytes} more bytes do not fit into the budget: ${this.#usedBytes} of ${this.#budgetBytes} are used. Nothing was taken or dropped. Raise the host's OFFGRID_HOST_BUDGET_MB.`;
    throw new RefusalError({ code: 'FULL', message });
  }

  /** Runs reads on one of the connections for reading. */
  read<R>(work: (connection: Connection) => Promise<R>): Promise<R> {
    return this.#readers.use(work);
  }

  /**
   * Runs a transaction.
   * @param work returns the number of bytes that it has added, negative when it has freed some
   * @throws RefusalError FULL when the disk or the budget is full; nothing has changed then
   */
  async write(work: (connection: Connection) => Promise<number>): Promise<void> {
    try {
      await this.#exclusively(async () => {
        const bytes = await this.#connection.transaction('BEGIN IMMEDIATE', async () => {
          const added = await work(this.#connection);
          this.assertFits(added);
          if (added !== 0) await this.#connection.run(ADD_BYTES, [added]);
          return added;
        });
        this.#usedBytes += bytes;
      });
    } catch (error) {
      if (error instanceof SqliteError && error.code === 'SQLITE_FULL') throw diskFull();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#readers.close();
    await this.#exclusively(() => this.#connection.close());
  }
}

/** The refusal for a full disk. */
export function diskFull(): RefusalError {
  const message = 'The disk of this host is full. Nothing was taken or dropped. Free space on it.';
  return new RefusalError({ code: 'FULL', message });
}

interface Opened {
  readonly connection: Connection;
  readonly usedBytes: number;
}

/** Only one process at a time gets here, because it holds the lock of the folder. */
async function openConnection(path: string, fingerprint: Fingerprint | undefined): Promise<Opened> {
  const connection = await Connection.open(path, 'write');
  try {
    const found = await findFormat(connection, FORMAT);
    const isNew = found.is === 'NEW';
    if (!isNew) assertFormat(path, found);
    else if (fingerprint === undefined) throw new Error(`${path} is empty.`);
    await connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    await connection.exec(`PRAGMA wal_autocheckpoint = ${WAL_AUTOCHECKPOINT_PAGES};`);
    if (isNew)
      await connection.transaction('BEGIN IMMEDIATE', async () => {
        await connection.exec(SCHEMA);
        await connection.run('INSERT INTO host VALUES (?)', [fingerprint ?? '']);
        await markFormat(connection, FORMAT);
      });
    const [row] = await connection.all<{ bytes: number }>("SELECT bytes FROM totals WHERE name = 'used'");
    return { connection, usedBytes: row?.bytes ?? 0 };
  } catch (error) {
    await connection.close().catch(() => undefined);
    if (error instanceof SqliteError) throw new Error(`${path} cannot be used: ${error.message}`, { cause: error });
    throw error;
  }
}

function assertFormat(path: string, found: FoundFormat): void {
  if (found.is === 'FOREIGN') throw new Error(`${path} is not a host's file; choose another data folder.`);
  if (found.is !== 'OTHER_VERSION') return;
  if (found.version === 1)
    throw new Error(
      `${path} was written by protocol 1. Move its folder away and start the host with an empty one: a running core ships everything again. To read the file without that core, use the build that wrote it.`,
    );
  throw new Error(`${path} is a host's file of format ${found.version}; this build reads format ${FORMAT.version}.`);
}
