import { createHash } from 'node:crypto';
import type { Table, Tables } from '../../projections/projection.js';
import { canonicalJson } from '../eventlog/canonical-json.js';
import type { Connection } from '../sqlite/connection.js';
import { tableName, type Slot } from './generation.js';

/** Rows read at a time. */
const PAGE_ROWS = 250;

/** The columns that are compared: all but those that belong to this copy of the log. */
function tellingColumns(table: Table): string[] {
  return Object.entries(table.columns).flatMap(([name, { local }]) => (local === true ? [] : [name]));
}

/** The rows of a table in key order, without local columns. */
export async function* rowsInKeyOrder(
  connection: Connection,
  name: string,
  table: Table,
  slot: Slot,
): AsyncIterable<Record<string, unknown>> {
  const columns = tellingColumns(table).join(', ');
  const sql = `SELECT ${columns} FROM ${tableName(name, slot)} WHERE ${table.key} > ? ORDER BY ${table.key} LIMIT ?`;
  // Below every key, whether keys are text or numbers.
  let after: string | number = table.columns[table.key]?.type === 'integer' ? Number.MIN_SAFE_INTEGER : '';
  for (;;) {
    const rows = await connection.all(sql, [after, PAGE_ROWS]);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    after = String(last[table.key]);
  }
}

/**
 * SHA-256, in hexadecimal, over the tables in the order of their names: for each its name, then its rows in key order as
 * canonical JSON (RFC 8785) without local columns, one line each. The caller holds a read transaction if others write.
 */
export async function digestTables(connection: Connection, tables: Tables, slot: Slot): Promise<string> {
  const hash = createHash('sha256');
  for (const name of Object.keys(tables).sort()) {
    const table = tables[name];
    if (table === undefined) continue;
    hash.update(`${name}\n`);
    for await (const row of rowsInKeyOrder(connection, name, table, slot)) hash.update(`${canonicalJson(row)}\n`);
  }
  return hash.digest('hex');
}
