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
/** Pages of write-ahead log before it is copied back. */
const WAL_AUTOCHECKPOINT_PAGES = 8_000;
/** Page cache of the writing connection, in KiB. */
const WRITER_CACHE_KIB = 12 * 1024;

/** Where a generation is and how it got there; one row of `generations`. */
export interface Generation {
  readonly slot: Slot;
  readonly number: number;
  readonly version: number;
  readonly logId: string;
  /** Everything up to here has been folded. */
  readonly position: bigint;
  /** Events folded so far. */
  readonly events: number;
  /** Positions that an operator chose to pass over. */
  readonly skipped: readonly bigint[];
  /** The last event of the log up to the position that is known; absent before one, and in what an older build wrote. */
  readonly last?: EventPlace | undefined;
}

/** How far a commit takes a generation. */
export interface Advance extends Pick<Generation, 'position' | 'last'> {
  /** Events folded since the commit before. */
  readonly events: number;
}

const GENERATIONS = `CREATE TABLE IF NOT EXISTS generations (
  slot TEXT PRIMARY KEY, number INTEGER NOT NULL, version INTEGER NOT NULL, log_id TEXT NOT NULL,
  position INTEGER NOT NULL, events INTEGER NOT NULL, skipped TEXT NOT NULL, last_event TEXT) WITHOUT ROWID`;
/** Files that an older build made do not have it. */
const HAS_LAST = "SELECT 1 AS has FROM pragma_table_info('generations') WHERE name = 'last_event'";

/**
 * The SQLite file of one projection: its generations' tables and, in the same transactions, how far each has got.
 * One connection writes, a few read. `synchronous=NORMAL`: what a power cut takes is folded again.
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

  /** Opens or creates a file. @throws ProjectionError PROJECTION_DAMAGED when it is no database. */
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

  /** Makes the first generation, with its indexes. */
  async createLive(logId: string): Promise<Generation> {
    return this.#write(async (connection) => {
      await createTables(connection, this.projection.tables, 'live');
      for (const sql of indexStatements(this.projection.tables, 'live', 1)) await connection.exec(sql);
      await createViews(connection, this.projection.views);
      return this.#insertGeneration(connection, 'live', 1, logId);
    });
  }

  /** Makes room for a rebuild: drops what was left of earlier ones and the previous generation. */
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
   * Adds the secondary indexes of the generation in `next`, each in a transaction of its own so that others get in.
   * @throws when the signal ends it, also in the middle of an index
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
   * Prepares to write what has changed, and how far that takes the generation, in one transaction. What is returned does
   * so: its first statement is in words by then, and each further one is put into words while the one before runs.
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

  /** Records that an event is passed over, in every generation of this version that has yet to fold it. */
  async skip(position: bigint): Promise<void> {
    await this.#write((connection) =>
      connection.run(
        `UPDATE generations SET skipped = json_insert(skipped, '$[#]', ?1) WHERE version = ?2 AND position < ?3
         AND NOT EXISTS (SELECT 1 FROM json_each(skipped) WHERE value = ?1)`,
        [String(position), this.projection.version, position],
      ),
    );
  }

  /** Makes the rebuilt generation the live one; the one before stays as the previous. Readers see either, never both. */
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

  /** Drops the tables of a slot and forgets its generation. */
  async drop(slot: Exclude<Slot, 'live'>): Promise<void> {
    await this.#write((connection) => this.#drop(connection, slot));
  }

  /** A consistent copy of the whole file, made while others read and write. */
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

/** Reads one row of `generations`. */
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
