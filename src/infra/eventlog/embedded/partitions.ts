import type { Connection } from '../../sqlite/connection.js';
import { LogError } from '../errors.js';
import { EVENT_COLUMNS } from './event-row.js';

/** A part of a log's file: a table with the events from one position to before the first one of the next partition. */
export interface Partition {
  /** Counted from 1, without gaps. */
  readonly number: number;
  /** The position of its first event, which the newest partition may not have yet. */
  readonly first: number;
}

type PartitionList = readonly [Partition, ...Partition[]];

/** Which partitions a file has. `bytes` is what a sealed one takes in the file. */
export const PARTITIONS =
  'CREATE TABLE partitions (number INTEGER PRIMARY KEY, first INTEGER NOT NULL, bytes INTEGER);';

/** The tables that have the events of a log's file, as this process knows them. Any process that has the file open may add one. */
export class Partitions {
  #list: PartitionList;

  private constructor(list: PartitionList) {
    this.#list = list;
  }

  /** @throws SqliteError; LogError LOG_CORRUPT when the file does not say which partitions it has */
  static async read(connection: Connection, path: string): Promise<Partitions> {
    // At one moment: another process may be making a partition.
    const list = await connection.transaction('BEGIN', async () => {
      const listed = await readAll(connection);
      return listed !== undefined && (await agreesWithFile(connection, listed)) ? listed : undefined;
    });
    if (list !== undefined) return new Partitions(list);
    throw new LogError(
      'LOG_CORRUPT',
      `${path} is damaged: its partitions are not those that it lists. Stop the core and run \`sheratan restore --repair\`, or restore the file from a copy.`,
      undefined,
      path,
    );
  }

  /** The one that events are appended to. */
  get newest(): Partition {
    return newestOf(this.#list);
  }

  /** Those before one, from the oldest on. */
  before(number: number): readonly Partition[] {
    return this.#list.filter((partition) => partition.number < number);
  }

  /** The table that has a position, and the last position that it may have: undefined for the newest one. */
  at(position: bigint): { readonly table: string; readonly last: bigint | undefined } {
    const i = Math.max(
      0,
      this.#list.findLastIndex(({ first }) => BigInt(first) <= position),
    );
    const next = this.#list[i + 1];
    return {
      table: tableOf((this.#list[i] ?? this.newest).number),
      last: next === undefined ? undefined : BigInt(next.first) - 1n,
    };
  }

  /**
   * The position of the last event in the file. Every position up to it can then be found with `at`.
   * @throws SqliteError
   */
  async end(connection: Connection): Promise<number> {
    for (;;) {
      const { number } = this.newest;
      const [row] = await connection.all<{ position: number | null; number: number; first: number }>(
        `SELECT (SELECT max(position) FROM ${tableOf(number)}) AS position, number, first
         FROM partitions ORDER BY number DESC LIMIT 1`,
      );
      if (row?.number === number) return row.position ?? row.first - 1;
      await this.refresh(connection);
    }
  }

  /**
   * What has the events of a stream from a revision on, in the order to read it: the tables, or the view of all partitions as
   * long as this process knows only one.
   * @throws SqliteError
   */
  async having(
    connection: Connection,
    stream: string,
    from: bigint,
    direction: 'forward' | 'backward',
  ): Promise<readonly string[]> {
    for (;;) {
      const tables = this.#list.map(({ number }) => tableOf(number));
      if (tables.length === 1) return [VIEW];
      const condition = `stream = ?1 AND revision ${direction === 'forward' ? '>=' : '<='} ?2`;
      const has = tables.map((table) => `EXISTS (SELECT 1 FROM ${table} WHERE ${condition}) AS ${table}`);
      const sql = `SELECT 'events_' || (SELECT max(number) FROM partitions) AS newest, ${has.join(', ')}`;
      const [row] = await connection.all<Record<string, unknown>>(sql, [stream, from]);
      const found = tables.filter((table) => row?.[table] === 1);
      if (row?.['newest'] === tables.at(-1)) return direction === 'forward' ? found : found.reverse();
      await this.refresh(connection);
    }
  }

  /** Reads again which there are. @throws SqliteError */
  async refresh(connection: Connection): Promise<void> {
    const list = await readAll(connection);
    // A read on another connection may have begun later, and ended earlier.
    if (list !== undefined && newestOf(list).number > this.newest.number) this.#list = list;
  }
}

/** The view that has the events of all partitions. */
const VIEW = 'events';

/** The table of a partition. */
export function tableOf(number: number): string {
  return `events_${number}`;
}

/**
 * Adds the next partition, within a transaction. The one before takes no more events: SQLITE_CONSTRAINT.
 * @param bytes what the one before takes in the file
 * @throws SqliteError
 */
export async function addPartition(connection: Connection, { number, first }: Partition, bytes = 0): Promise<void> {
  await connection.exec(makeTable(number));
  if (number > 1) {
    await connection.exec(seal(number - 1));
    await connection.run('UPDATE partitions SET bytes = ? WHERE number = ?', [bytes, number - 1]);
  }
  await connection.run('INSERT INTO partitions (number, first) VALUES (?, ?)', [number, first]);
  await showPartitions(connection);
}

/** Makes the view of all partitions. @throws SqliteError */
export async function showPartitions(connection: Connection): Promise<void> {
  await connection.exec(`DROP VIEW IF EXISTS ${VIEW}; ${makeView((await readAll(connection)) ?? [])}`);
}

function makeTable(number: number): string {
  return `CREATE TABLE ${tableOf(number)} (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    revision INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    etype INTEGER NOT NULL,
    data TEXT NOT NULL,
    metadata TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (stream, revision)
  )`;
}

function seal(number: number): string {
  const table = tableOf(number);
  return `CREATE TRIGGER ${table}_sealed BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'the partition is sealed'); END`;
}

function makeView(list: readonly Partition[]): string {
  const parts = list.map(({ number }) => `SELECT ${EVENT_COLUMNS} FROM ${tableOf(number)}`);
  return `CREATE VIEW ${VIEW} AS ${parts.join(' UNION ALL ')}`;
}

async function readAll(connection: Connection): Promise<PartitionList | undefined> {
  const [first, ...others] = await connection.all<Partition>('SELECT number, first FROM partitions ORDER BY number');
  return first && [first, ...others];
}

function newestOf(list: PartitionList): Partition {
  return list.at(-1) ?? list[0];
}

/**
 * Whether the file has what was made for these partitions, and an empty newest one begins where the one before it ends. Damage
 * to the events of others is found by reading.
 */
async function agreesWithFile(connection: Connection, list: PartitionList): Promise<boolean> {
  if (list.some(({ number }, i) => number !== list[0].number + i)) return false;
  const [before, newest = list[0]] = list.slice(-2);
  const sealed = list.slice(0, -1).map(({ number }) => seal(number));
  const made = [...list.map(({ number }) => makeTable(number)), ...sealed, makeView(list)];
  const rows = await connection.all<{ sql: string }>('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL');
  const present = new Set(rows.map(({ sql }) => plain(sql)));
  if (!made.every((sql) => present.has(plain(sql)))) return false;
  if (before === undefined || before === newest) return true;
  const [end] = await connection.all<{ newest: number | null; before: number | null }>(
    `SELECT (SELECT max(position) FROM ${tableOf(newest.number)}) AS newest,
      (SELECT max(position) FROM ${tableOf(before.number)}) AS before`,
  );
  return end?.newest !== null || end.before === newest.first - 1;
}

/** A statement as it is compared: SQLite quotes the name of a table that was renamed, and spaces mean nothing. */
function plain(sql: string): string {
  return sql.replaceAll(/["\s]/g, '');
}
