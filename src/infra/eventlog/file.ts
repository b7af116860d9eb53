import { randomInt } from 'node:crypto';
import { Connection, SqliteError } from '../sqlite/connection.js';
import { LogError } from './errors.js';

/** The version of the file's layout, in `user_version`. */
const FORMAT_VERSION = 1;
/** Marks the file as ours: "ShLg". */
const APPLICATION_ID = 0x53684c67;
/** Pages of write-ahead log before it is copied back. */
const WAL_AUTOCHECKPOINT_PAGES = 4_000;
/** Crockford's base32, lower case. */
const LOG_ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const LOG_ID_LENGTH = 6;

/**
 * `position` is assigned by the writer, so that the checksum covers it; truncated events stay as rows with etype 0, so
 * that positions are never reused and a stream's head is always its highest revision.
 */
const SCHEMA = `
  CREATE TABLE log (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE events (
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
  );
`;

/** Opens the writing connection, making the file and its tables when they are not there. */
export async function openLogFile(path: string): Promise<{ connection: Connection; logId: string }> {
  const connection = await Connection.open(path, 'write');
  try {
    await connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    await connection.exec(`PRAGMA wal_autocheckpoint = ${String(WAL_AUTOCHECKPOINT_PAGES)};`);
    const logId = await connection.transaction('BEGIN IMMEDIATE', () => readOrCreate(connection, path));
    return { connection, logId };
  } catch (error) {
    await connection.close().catch(() => undefined);
    throw error;
  }
}

async function readOrCreate(connection: Connection, path: string): Promise<string> {
  const [format] = await connection.all<{ user_version: number }>('PRAGMA user_version');
  const version = format?.user_version ?? 0;
  if (version > FORMAT_VERSION) {
    throw new LogError(
      'LOG_FAILED',
      `${path} has format ${String(version)}; this version of Sheratan reads up to ${String(FORMAT_VERSION)}. Upgrade Sheratan.`,
    );
  }
  if (version === 0) await create(connection, path);
  const [row] = await connection.all<{ value: string }>("SELECT value FROM log WHERE key = 'log_id'");
  if (row === undefined)
    throw new LogError('LOG_CORRUPT', `${path} does not say which log it is; restore it from a copy.`);
  return row.value;
}

async function create(connection: Connection, path: string): Promise<void> {
  const tables = await connection.all("SELECT name FROM sqlite_schema WHERE type = 'table'");
  if (tables.length > 0) {
    throw new LogError('LOG_FAILED', `${path} is a database of something else; choose another SHERATAN_DATA_DIR.`);
  }
  await connection.exec(SCHEMA);
  const logId = Array.from({ length: LOG_ID_LENGTH }, () => LOG_ID_ALPHABET[randomInt(32)]).join('');
  await connection.run("INSERT INTO log (key, value) VALUES ('log_id', ?)", [logId]);
  await connection.exec(
    `PRAGMA user_version = ${String(FORMAT_VERSION)}; PRAGMA application_id = ${String(APPLICATION_ID)};`,
  );
}

/** Says in the log's terms what SQLite reported. */
export function toLogError(error: unknown, path: string): unknown {
  if (!(error instanceof SqliteError)) return error;
  const because = `(${error.message})`;
  switch (error.code) {
    case 'SQLITE_FULL':
      return new LogError(
        'LOG_FULL',
        `The disk that holds ${path} is full; nothing was written. Free space and try again ${because}.`,
        error,
      );
    case 'SQLITE_READONLY':
    case 'SQLITE_PERM':
      return new LogError(
        'LOG_READONLY',
        `${path} cannot be written; make the file and its folder writable ${because}.`,
        error,
      );
    case 'SQLITE_CANTOPEN':
      return new LogError(
        'LOG_READONLY',
        `${path} cannot be opened; check that its folder exists and is writable ${because}.`,
        error,
      );
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return new LogError('LOG_BUSY', `Another process holds ${path} for writing; try again ${because}.`, error);
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
      return new LogError(
        'LOG_CORRUPT',
        `${path} is damaged. Stop the core and restore the file from a copy; \`sheratan export --skip-damaged\` saves what can still be read ${because}.`,
        error,
      );
    default:
      return new LogError('LOG_FAILED', `${path} could not be read or written ${because}.`, error);
  }
}
