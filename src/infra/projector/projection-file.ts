import { Kysely } from 'kysely';
import pLimit from 'p-limit';
import type { Projection } from '../../projections/projection.js';
import type { EventPlace } from '../eventlog/eventlog.js';
import { Connection } from '../sqlite/connection.js';
import { sqliteDialect } from '../sqlite/dialect.js';
import { Pool } from '../sqlite/pool.js';
import type { ChangedRows, LoadRows } from './batch-folder.js';
import { toProjectionError } from './errors.js';
import {
  createTables,
  createViews,
  dropTables,
  dropViews,
  indexStatements,
  loadRows,
  moveTables,
  upsertStatements,
  type Slot,
  type Statement,
} from './generation.js';

/** Connections for queries. */
const READERS = 3;
/** Pages of the write-ahead log from which SQLite copies it back into the file. */
const WAL_AUTOCHECKPOINT_PAGES = 8_000;
/** Page cache of the writing connection, in KiB. */
const WRITER_CACHE_KIB = 12 * 1024;

/** The checkpoint of a generation; one row of `generations`. */
export interface Generation {
  readonly slot: Slot;
  readonly number: number;
  readonly version: number;
  readonly logId: string;
  /** The position up to which everything has been folded. */
  readonly position: bigint;
  /** Events folded so far. */
  readonly events: number;
  /** The positions of the events that an operator chose to skip. */
  readonly skipped: readonly bigint[];
  /** The last known event of the log up to the position; absent before the first, and in files of an older build. */
  readonly last?: EventPlace | undefined;
}

/** How far a commit takes a generation. */
export interface Advance extends Pick<Generation, 'position' | 'last'> {
  /** Events folded since the previous commit. */
  readonly events: number;
}

const GENERATIONS = `CREATE TABLE IF NOT EXISTS generations (
  slot TEXT PRIMARY KEY, number INTEGER NOT NULL, version INTEGER NOT NULL, log_id TEXT NOT NULL,
  position INTEGER NOT NULL, events INTEGER NOT NULL, skipped TEXT NOT NULL, last_event TEXT) WITHOUT ROWID`;
/** Finds the column `last_event`, which files of an older build lack. */
const HAS_LAST = "SELECT 1 AS has FROM pragma_table_info('generations') WHERE name = 'last_event'";

/**
 * The SQLite file of one projection: its generations' tables and, written in the same transactions, their checkpoints. One
 * connection writes, a few read. `synchronous=NORMAL`, because events whose rows are lost in a power failure are folded again.
 */
export class ProjectionFile {
  readonly path: string;
  readonly projection: Projection;
  readonly #writer: Connection;
  readonly #readers: Pool;
  /** One transaction at a time: the live generation and a rebuild share the connection. */
  readonly #exclusively = pLimit(1);
  readonly #db: Kysely<unknown>;

  private constructor(path: string, projection: Projection, writer: Connection, readers: Pool) {
    this.path = path;
    this.projection = projection;
    this.#writer = writer;
    this.#readers = readers;
    this.#db = new Kysely({ dialect: sqliteDialect(readers) });
  }

  /** Opens or creates a file. @throws ProjectionError PROJECTION_DAMAGED when it is not a database; SqliteError otherwise */
  static async open(path: string, projection: Projection): Promise<ProjectionFile> {
    const writer = await Connection.open(path, 'write');
    try {
      await writer.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
      await writer.exec(`PRAGMA wal_autocheckpoint = ${String(WAL_AUTOCHECKPOINT_PAGES)};`);
      await writer.exec(`PRAGMA cache_size = -${String(WRITER_CACHE_KIB)};`);
      await writer.exec(GENERATIONS);
      await writer.transaction('BEGIN IMMEDIATE', async () => {
        if ((await writer.all(HAS_LAST)).length === 0)
          await writer.exec('ALTER TABLE generations ADD COLUMN last_event TEXT');
      });
      const readers = await Pool.open(path, 'read', READERS);
      return new ProjectionFile(path, projection, writer, readers);
    } catch (error) {
      await writer.close().catch(() => undefined);
      throw toProjectionError(error, path);
    }
  }

  /** Queries over the live tables. */
  reads<Database>(): Kysely<Database> {
    return this.#db as Kysely<Database>;
  }

  /** Borrows a reading connection. */
  read<R>(work: (connection: Connection) => Promise<R>): Promise<R> {
    return this.#readers.use(work);
  }

  /** Reads the rows of a slot for a fold. */
  loader(slot: Slot): LoadRows {
    return (name, keys) => {
      const table = this.projection.tables[name];
      if (table === undefined) throw new Error(`the projection has no table '${name}'`);
      return this.read((connection) => loadRows(connection, name, table, slot, keys));
    };
  }

  /** What a slot holds, if anything. */
  async generation(slot: Slot): Promise<Generation | undefined> {
    return this.read((connection) => readGeneration(connection, slot));
  }

  /** Creates the first generation, with its indexes. */
  async createLive(logId: string): Promise<Generation> {
    return this.#write(async (connection) => {
      await createTables(connection, this.projection.tables, 'live');
      for (const sql of indexStatements(this.projection.tables, 'live', 1)) await connection.exec(sql);
      await createViews(connection, this.projection.views);
      return this.#insertGeneration(connection, 'live', 1, logId);
    });
  }

  /** Creates the generation of a rebuild, after dropping the remains of earlier rebuilds and the previous generation. */
  async createNext(logId: string, skipped: readonly bigint[]): Promise<Generation> {
    return this.#write(async (connection) => {
      await this.#drop(connection, 'next');
      await this.#drop(connection, 'prev');
      await createTables(connection, this.projection.tables, 'next');
      const [row] = await connection.all<{ number: number }>('SELECT max(number) AS number FROM generations');
      return this.#insertGeneration(connection, 'next', (row?.number ?? 0) + 1, logId, skipped);
    });
  }

  /**
   * Creates the secondary indexes of the generation in `next`, each in its own transaction so that other writes get a turn.
   * @throws the signal's reason or SqliteError when the signal is aborted, also while an index is being created
   */
  async indexNext(number: number, signal: AbortSignal): Promise<void> {
    for (const sql of indexStatements(this.projection.tables, 'next', number)) {
      await this.#write(async (connection) => {
        signal.throwIfAborted();
        const interrupt = () => {
          connection.interrupt();
        };
        signal.addEventListener('abort', interrupt);
        await connection.exec(sql).finally(() => {
          signal.removeEventListener('abort', interrupt);
        });
      });
    }
  }

  /**
   * Prepares a write of the changed rows and the generation's new checkpoint in one transaction. The returned function performs
   * it. The first statement is generated here, and each further one while the previous one runs.
   */
  prepareCommit(slot: Slot, changed: ChangedRows, { position, events, last }: Advance): () => Promise<void> {
    const upserts = this.#upserts(slot, changed);
    let next = upserts.next();
    return () =>
      this.#write(async (connection) => {
        while (next.done !== true) {
          const running = connection.run(next.value.sql, next.value.params);
          next = upserts.next();
          await running;
        }
        const advance = `UPDATE generations
          SET position = ?, events = events + ?, last_event = coalesce(?, last_event) WHERE slot = ?`;
        await connection.run(advance, [position, events, last === undefined ? null : textOf(last), slot]);
      });
  }

  /** Records that an event is skipped, in every generation of this version that has not folded it yet. */
  async skip(position: bigint): Promise<void> {
    await this.#write((connection) =>
      connection.run(
        `UPDATE generations SET skipped = json_insert(skipped, '$[#]', ?1) WHERE version = ?2 AND position < ?3
         AND NOT EXISTS (SELECT 1 FROM json_each(skipped) WHERE value = ?1)`,
        [String(position), this.projection.version, position],
      ),
    );
  }

  /** Makes the rebuilt generation live, and the live one the previous. Readers see either, never both. */
  async switchToNext(): Promise<void> {
    await this.#write(async (connection) => {
      await dropViews(connection);
      await this.#move(connection, 'live', 'prev');
      await this.#move(connection, 'next', 'live');
      await createViews(connection, this.projection.views);
    });
  }

  /** Exchanges the live and the previous generation. */
  async switchToPrevious(): Promise<void> {
    await this.#write(async (connection) => {
      await this.#drop(connection, 'next');
      await dropViews(connection);
      await this.#move(connection, 'live', 'next');
      await this.#move(connection, 'prev', 'live');
      await this.#move(connection, 'next', 'prev');
      await createViews(connection, this.projection.views);
    });
  }

  /** Drops the tables of a slot and the record of its generation. */
  async drop(slot: Exclude<Slot, 'live'>): Promise<void> {
    await this.#write((connection) => this.#drop(connection, slot));
  }

  /** Writes a consistent copy of the complete file while others read and write. */
  async copyTo(path: string): Promise<void> {
    await this.read((connection) => connection.run('VACUUM INTO ?', [path]));
  }

  async close(): Promise<void> {
    await this.#db.destroy();
    await this.#readers.close();
    await this.#exclusively(() => this.#writer.close());
  }

  *#upserts(slot: Slot, changed: ChangedRows): Generator<Statement, void> {
    for (const [name, rows] of changed) {
      const table = this.projection.tables[name];
      if (table !== undefined) yield* upsertStatements(name, table, slot, rows.values());
    }
  }

  #write<R>(work: (connection: Connection) => Promise<R>): Promise<R> {
    return this.#exclusively(() => this.#writer.transaction('BEGIN IMMEDIATE', () => work(this.#writer)));
  }

  async #insertGeneration(
    connection: Connection,
    slot: Slot,
    number: number,
    logId: string,
    skipped: readonly bigint[] = [],
  ): Promise<Generation> {
    const { version } = this.projection;
    await connection.run('INSERT INTO generations VALUES (?, ?, ?, ?, 0, 0, ?, NULL)', [
      slot,
      number,
      version,
      logId,
      JSON.stringify(skipped.map(String)),
    ]);
    return { slot, number, version, logId, position: 0n, events: 0, skipped };
  }

  async #move(connection: Connection, from: Slot, to: Slot): Promise<void> {
    await moveTables(connection, from, to);
    await connection.run('UPDATE generations SET slot = ? WHERE slot = ?', [to, from]);
  }

  async #drop(connection: Connection, slot: Exclude<Slot, 'live'>): Promise<void> {
    await dropTables(connection, slot);
    await connection.run('DELETE FROM generations WHERE slot = ?', [slot]);
  }
}

function textOf({ position, stream, revision, id }: EventPlace): string {
  return JSON.stringify({ position: String(position), stream, revision: String(revision), id });
}

function placeIn(text: string): EventPlace {
  const { position, revision, ...rest } = JSON.parse(text) as Record<keyof EventPlace, string>;
  return { ...rest, position: BigInt(position), revision: BigInt(revision) };
}

/** Reads the generation in a slot; undefined when the slot is empty. */
export async function readGeneration(connection: Connection, slot: Slot): Promise<Generation | undefined> {
  const [row] = await connection.all<{
    number: number;
    version: number;
    log_id: string;
    position: string;
    events: number;
    skipped: string;
    last_event?: string | null;
  }>('SELECT *, CAST(position AS TEXT) AS position FROM generations WHERE slot = ?', [slot]);
  if (row === undefined) return undefined;
  const { number, version, log_id: logId, events } = row;
  const skipped = (JSON.parse(row.skipped) as string[]).map(BigInt);
  const last = typeof row.last_event === 'string' ? placeIn(row.last_event) : undefined;
  return { slot, number, version, logId, position: BigInt(row.position), events, skipped, last };
}
