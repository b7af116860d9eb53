import pLimit from 'p-limit';
import { Connection, SqliteError } from '../../sqlite/connection.js';
import { Pool } from '../../sqlite/pool.js';
import { HostRefusal } from './problems.js';

/** Marks the file as a host's: "ShHo". */
const APPLICATION_ID = 0x5368486f;
const FORMAT_VERSION = 1;
/** Pages of write-ahead log before it is copied back. */
const WAL_AUTOCHECKPOINT_PAGES = 4_000;
const ADD_BYTES = "UPDATE totals SET bytes = bytes + ? WHERE name = 'used'";

/**
 * `events` are what origins shipped; `evidence` is what was set aside or refused as a fork; `memory` came through the
 * prototype's door. Contents of NULL are files. Sums of bytes are in `totals`, changed in the same transactions.
 */
const SCHEMA = `
  CREATE TABLE origins (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
    granted_epoch INTEGER NOT NULL, granted_writer TEXT NOT NULL,
    granted_challenge TEXT NOT NULL, granted_signature TEXT NOT NULL,
    sequence INTEGER NOT NULL, epoch INTEGER NOT NULL, peaks BLOB NOT NULL);
  CREATE TABLE events (
    origin INTEGER NOT NULL REFERENCES origins, sequence INTEGER NOT NULL, epoch INTEGER NOT NULL,
    etype INTEGER NOT NULL, ts INTEGER NOT NULL, eid BLOB NOT NULL, bytes INTEGER NOT NULL, sealed BLOB,
    PRIMARY KEY (origin, sequence));
  CREATE INDEX events_by_ts ON events (ts);
  CREATE INDEX events_by_eid ON events (eid);
  CREATE TABLE evidence (
    id INTEGER PRIMARY KEY, origin INTEGER NOT NULL REFERENCES origins, kind TEXT NOT NULL, sequence INTEGER NOT NULL,
    epoch INTEGER NOT NULL, etype INTEGER NOT NULL, ts INTEGER NOT NULL, eid BLOB NOT NULL, bytes INTEGER NOT NULL,
    sealed BLOB);
  CREATE UNIQUE INDEX evidence_once ON evidence (origin, sequence, epoch, eid);
  CREATE TABLE memory (
    eid BLOB PRIMARY KEY, ts INTEGER NOT NULL, etype INTEGER NOT NULL, meta TEXT NOT NULL, score REAL NOT NULL,
    bytes INTEGER NOT NULL, sealed BLOB);
  CREATE INDEX memory_by_ts ON memory (ts);
  CREATE TABLE totals (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
  INSERT INTO totals VALUES ('used', 0);
`;

/** Connections for reading. */
const READERS = 3;

/** A host's `host.db`: one writer, a few readers. `synchronous=FULL`: what `write` has returned from is on the disk. */
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
   * Opens the file, making it when it is not there.
   * @param budgetBytes the most bytes of contents, evidence included
   * @throws Error that says what is wrong with it
   */
  static async open(path: string, budgetBytes: number): Promise<HostFile> {
    const { connection, usedBytes } = await openConnection(path);
    const readers = await Pool.open(path, 'read', READERS);
    return new HostFile(connection, readers, budgetBytes, usedBytes);
  }

  /** Bytes of all contents, evidence included. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @throws HostRefusal FULL when so many more bytes are beyond the budget */
  assertFits(bytes: number): void {
    if (bytes === 0 || this.#usedBytes + bytes <= this.#budgetBytes) return;
    throw new HostRefusal(
      'FULL',
      `${bytes} more bytes do not fit: ${this.#usedBytes} of ${this.#budgetBytes} are used. Nothing was taken, nothing was dropped.`,
    );
  }

  read<R>(work: (connection: Connection) => Promise<R>): Promise<R> {
    return this.#readers.use(work);
  }

  /**
   * Runs a transaction. `work` says how many bytes of content it has added.
   * @throws HostRefusal FULL when the disk or the budget is; nothing has changed then
   */
  async write(work: (connection: Connection) => Promise<number>): Promise<void> {
    try {
      await this.#exclusively(async () => {
        const bytes = await this.#connection.transaction('BEGIN IMMEDIATE', async () => {
          const added = await work(this.#connection);
          this.assertFits(added);
          if (added > 0) await this.#connection.run(ADD_BYTES, [added]);
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

export function diskFull(): HostRefusal {
  return new HostRefusal('FULL', 'The disk of this host is full. Nothing was taken, nothing was dropped.');
}

interface Opened {
  readonly connection: Connection;
  readonly usedBytes: number;
}

/** One process at a time does this: it holds the lock of the folder. */
async function openConnection(path: string): Promise<Opened> {
  const connection = await Connection.open(path, 'write');
  try {
    const [marks] = await connection.all<{ application_id: number; user_version: number; tables: number }>(
      `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) AS tables
       FROM pragma_application_id, pragma_user_version`,
    );
    const isNew = marks === undefined || (marks.application_id === 0 && marks.tables === 0);
    if (!isNew && (marks.application_id !== APPLICATION_ID || marks.user_version !== FORMAT_VERSION))
      throw new Error(`${path} is not a host's file of format ${FORMAT_VERSION}; choose another data folder.`);
    await connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    await connection.exec(`PRAGMA wal_autocheckpoint = ${WAL_AUTOCHECKPOINT_PAGES};`);
    if (isNew)
      await connection.transaction('BEGIN IMMEDIATE', async () => {
        await connection.exec(SCHEMA);
        await connection.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT_VERSION};`);
      });
    const [row] = await connection.all<{ bytes: number }>("SELECT bytes FROM totals WHERE name = 'used'");
    return { connection, usedBytes: row?.bytes ?? 0 };
  } catch (error) {
    await connection.close().catch(() => undefined);
    if (error instanceof SqliteError) throw new Error(`${path} cannot be used: ${error.message}`, { cause: error });
    throw error;
  }
}
