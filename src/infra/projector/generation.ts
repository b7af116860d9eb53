import type { AnyRow, Projection, Table, Tables } from '../../projections/projection.js';
import type { Connection, Param } from '../sqlite/connection.js';

/**
 * The place of a generation in its file. A generation is one set of a projection's tables. A file holds up to three: the live
 * one, the next one while it is being built, and the previous one, kept for a rollback. Each has its own checkpoint.
 */
export type Slot = 'live' | 'next' | 'prev';

const SUFFIXES: Record<Slot, string> = { live: '', next: '__next', prev: '__prev' };

/** The name of a table in a slot. */
export function tableName(table: string, slot: Slot): string {
  return `${table}${SUFFIXES[slot]}`;
}

const SQL_TYPES = { text: 'TEXT', integer: 'INTEGER', real: 'REAL', position: 'INTEGER' } as const;

/** Creates the tables of a slot, without secondary indexes. */
export async function createTables(connection: Connection, tables: Tables, slot: Slot): Promise<void> {
  for (const [name, table] of Object.entries(tables)) {
    const columns = Object.entries(table.columns).map(([column, { type, nullable }]) => {
      const key = column === table.key ? ' PRIMARY KEY' : '';
      return `${column} ${SQL_TYPES[type]}${nullable ? '' : ' NOT NULL'}${key}`;
    });
    await connection.exec(`CREATE TABLE ${tableName(name, slot)} (${columns.join(', ')})`);
  }
}

/** Creates the views over the live tables. */
export async function createViews(connection: Connection, views: Projection['views'] = {}): Promise<void> {
  for (const [name, select] of Object.entries(views)) {
    await connection.exec(
      `CREATE VIEW ${name} AS ${select.replaceAll(/\{(\w+)\}/g, (_, table: string) => tableName(table, 'live'))}`,
    );
  }
}

/** Drops all views, of any version, because SQLite would make them follow renamed tables. */
export async function dropViews(connection: Connection): Promise<void> {
  const views = await connection.all<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'view'");
  for (const { name } of views) await connection.exec(`DROP VIEW ${name}`);
}

/** The statements that create the secondary indexes of a slot; index names include the generation's number. */
export function indexStatements(tables: Tables, slot: Slot, generation: number): string[] {
  return Object.entries(tables).flatMap(([name, table]) =>
    Object.entries(table.indexes).map(([index, { columns, where }]) => {
      const condition = where === undefined ? '' : ` WHERE ${where}`;
      return `CREATE INDEX IF NOT EXISTS ${name}_${index}_g${generation} ON ${tableName(name, slot)} (${columns.join(', ')})${condition}`;
    }),
  );
}

/** Drops every table of a slot, of any version. */
export async function dropTables(connection: Connection, slot: Exclude<Slot, 'live'>): Promise<void> {
  for (const name of await tablesOf(connection, slot)) await connection.exec(`DROP TABLE ${name}`);
}

/** Renames every table of one slot into another, which must be empty. */
export async function moveTables(connection: Connection, from: Slot, to: Slot): Promise<void> {
  for (const name of await tablesOf(connection, from)) {
    const base = from === 'live' ? name : name.slice(0, -SUFFIXES[from].length);
    await connection.exec(`ALTER TABLE ${name} RENAME TO ${tableName(base, to)}`);
  }
}

async function tablesOf(connection: Connection, slot: Slot): Promise<string[]> {
  const rows = await connection.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'generations' ORDER BY name",
  );
  const names = rows.map(({ name }) => name);
  if (slot !== 'live') return names.filter((name) => name.endsWith(SUFFIXES[slot]));
  return names.filter((name) => !name.endsWith(SUFFIXES.next) && !name.endsWith(SUFFIXES.prev));
}

/** The columns of a table for a SELECT: positions as text, because they may exceed the safe integers of JavaScript. */
export function selectList(table: Table): string {
  return Object.entries(table.columns)
    .map(([name, { type }]) => (type === 'position' ? `CAST(${name} AS TEXT) AS ${name}` : name))
    .join(', ');
}

/** Converts a row read with `selectList` into a row for folds. */
export function fromStored(table: Table, stored: Record<string, unknown>): AnyRow {
  const row = stored as Record<string, string | number | bigint | null>;
  for (const [name, { type }] of Object.entries(table.columns)) {
    const value = row[name];
    if (type === 'position' && value !== null && value !== undefined) row[name] = BigInt(value);
  }
  return row;
}

/** Reads rows by their keys, in one statement. */
export async function loadRows(
  connection: Connection,
  name: string,
  table: Table,
  slot: Slot,
  keys: readonly string[],
): Promise<AnyRow[]> {
  const sql = `SELECT ${selectList(table)} FROM ${tableName(name, slot)}
    WHERE ${table.key} IN (SELECT value FROM json_each(?))`;
  const rows = await connection.all(sql, [JSON.stringify(keys)]);
  return rows.map((row) => fromStored(table, row));
}

/** The most rows written by one statement. */
const MAX_STATEMENT_ROWS = 1_000;
/** The characters of JSON from which a statement takes no more rows. */
const MAX_STATEMENT_CHARACTERS = 4 * 1024 * 1024;

/** A statement and its bound parameters. */
export interface Statement {
  readonly sql: string;
  readonly params: readonly Param[];
}

/**
 * The statements that write rows: new rows are added; in existing rows, the columns that may change are set. A statement
 * has at most MAX_STATEMENT_ROWS rows, and ends with the row that brings it to MAX_STATEMENT_CHARACTERS.
 */
export function* upsertStatements(name: string, table: Table, slot: Slot, rows: Iterable<AnyRow>): Iterable<Statement> {
  const columns = Object.keys(table.columns);
  const changing = columns.filter((column) => column !== table.key && table.columns[column]?.fixed !== true);
  const set = changing.map((column) => `${column} = excluded.${column}`).join(', ');
  const update = set === '' ? 'NOTHING' : `UPDATE SET ${set}`;
  const sql = `INSERT INTO ${tableName(name, slot)} (${columns.join(', ')})
    SELECT ${columns.map((_, i) => `value->>${i}`).join(', ')} FROM jsonb_each(?) WHERE true
    ON CONFLICT (${table.key}) DO ${update}`;
  let values: string[] = [];
  let characters = 0;
  for (const row of rows) {
    const stored: unknown[] = [];
    for (const column of columns) {
      const value = row[column];
      stored.push(typeof value === 'bigint' ? value.toString() : value);
    }
    const json = JSON.stringify(stored);
    values.push(json);
    characters += json.length;
    if (values.length < MAX_STATEMENT_ROWS && characters < MAX_STATEMENT_CHARACTERS) continue;
    yield { sql, params: [`[${values.join(',')}]`] };
    values = [];
    characters = 0;
  }
  if (values.length > 0) yield { sql, params: [`[${values.join(',')}]`] };
}
