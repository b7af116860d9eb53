import { EVENT_COLUMNS, type EventRow } from '../../eventlog/embedded/event-row.js';
import { SqliteError, type Connection } from '../../sqlite/connection.js';

/** A table that has events in a file that may be damaged: a partition, or the one table of the earlier format. */
export interface DamagedTable {
  readonly name: string;
  /** No row of it has a lower position. */
  readonly first: number;
  /** No row of it has a higher position. */
  readonly last: number;
}

const TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'events*'";
const TABLE = /^events(?:_(\d+))?$/;

/**
 * The tables that have events, from the oldest on. What the file lists as its partitions is not believed.
 * @throws SqliteError, also when the end of the log cannot be read
 */
export async function findTables(connection: Connection): Promise<readonly DamagedTable[]> {
  const names = (await connection.all<{ name: string }>(TABLES)).map(({ name }) => name);
  const numberOf = (name: string) => Number(TABLE.exec(name)?.[1] ?? 0);
  const found: { name: string; first: number | undefined; last: number | undefined }[] = [];
  let unread: SqliteError | undefined;
  for (const name of names.filter((one) => TABLE.test(one)).sort((a, b) => numberOf(a) - numberOf(b))) {
    try {
      const last = await endOf(connection, name, 'max');
      if (last === undefined) continue;
      unread = undefined;
      found.push({ name, first: await endOf(connection, name, 'min').catch(ifUnreadable), last });
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      unread = error;
      found.push({ name, first: await endOf(connection, name, 'min').catch(ifUnreadable), last: undefined });
    }
  }
  if (unread !== undefined) throw unread;
  // Where SQLite cannot read an end of one, it is before the next one's.
  return found.map(({ name, first, last }, i) => ({
    name,
    first: first ?? (found[i - 1]?.last ?? 0) + 1,
    last: last ?? (found[i + 1]?.first ?? Number.MAX_SAFE_INTEGER) - 1,
  }));
}

async function endOf(connection: Connection, name: string, which: 'min' | 'max'): Promise<number | undefined> {
  const sql = `SELECT ${which}(position) AS position FROM ${name} NOT INDEXED`;
  const [row] = await connection.all<{ position: number | null }>(sql);
  return row?.position ?? undefined;
}

/** The rows of a table in a range of positions, in order. Those in pages that SQLite cannot read are left out. @throws SqliteError */
export async function readableRows(
  connection: Connection,
  { name, first, last }: DamagedTable,
  after: number,
  upTo: number,
): Promise<readonly EventRow[]> {
  if (last <= after || first > upTo) return [];
  const sql = `SELECT ${EVENT_COLUMNS} FROM ${name} NOT INDEXED WHERE position > ? AND position <= ? ORDER BY position`;
  try {
    return await connection.all<EventRow>(sql, [after, upTo]);
  } catch (error) {
    ifUnreadable(error);
  }
  const rows: EventRow[] = [];
  for (let position = after; position < upTo; position += 1)
    rows.push(...((await connection.all<EventRow>(sql, [position, position + 1]).catch(ifUnreadable)) ?? []));
  return rows;
}

/** Passes over what SQLite finds to be damaged; throws any other error. */
function ifUnreadable(error: unknown): undefined {
  if (!(error instanceof SqliteError) || error.code !== 'SQLITE_CORRUPT') throw error;
}
