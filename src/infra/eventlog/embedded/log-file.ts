import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection, SqliteError } from '../../sqlite/connection.js';
import { findFormat, markFormat, type FileFormat } from '../../sqlite/file-format.js';
import { LogError } from '../errors.js';
import { newLogId } from '../log-id.js';
import { addPartition, PARTITIONS, Partitions, showPartitions, tableOf } from './partitions.js';

/** The marks of a log: "ShLg". */
const FORMAT: FileFormat = { applicationId: 0x53684c67, version: 2 };
/** The format that had all events in one table, `events`. */
const WITHOUT_PARTITIONS = 1;
/** How long to retry the switch of a new file to WAL while another process opens it, in milliseconds. */
const MAX_SWITCH_MS = 5_000;
/** The wait between two tries of the switch, in milliseconds. */
const SWITCH_RETRY_MS = 20;
/** Pages in the write-ahead log before SQLite checkpoints it. */
const WAL_AUTOCHECKPOINT_PAGES = 4_000;
/** Files of up to this size, in bytes, are checked completely when opened; this takes about 2 µs per event. */
const MAX_CHECKED_BYTES = 64 * 1024 * 1024;

const SCHEMA = 'CREATE TABLE log (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;';

/** How to open a log's file. */
export interface OpenFileOptions {
  /** `ON_CLOSE` makes nothing durable before `close`: for a log that is of no use before it is complete. */
  readonly syncs?: 'EACH_COMMIT' | 'ON_CLOSE';
  /** Called when a file of an earlier format is to be rewritten, with its size in bytes. */
  readonly onRewrite?: (bytes: number) => void;
}

/** A log's file that is open for writing. */
export interface OpenFile {
  readonly connection: Connection;
  readonly logId: string;
  readonly partitions: Partitions;
}

/**
 * Opens the connection for writing, and creates the file and its tables if they do not exist. A file of an earlier format
 * is taken over.
 * @throws LogError LOG_CORRUPT, LOG_FAILED; SqliteError
 */
export async function openLogFile(path: string, options: OpenFileOptions = {}): Promise<OpenFile> {
  const { syncs = 'EACH_COMMIT', onRewrite } = options;
  const connection = await Connection.open(path, 'write');
  try {
    // Only a file without tables can be told to give the pages that are free back to the disk.
    if (await isNew(connection, path)) await connection.exec('PRAGMA auto_vacuum = INCREMENTAL');
    await switchToWal(connection);
    await connection.exec(
      `PRAGMA synchronous = ${syncs === 'ON_CLOSE' ? 'OFF' : 'FULL'}; PRAGMA wal_autocheckpoint = ${WAL_AUTOCHECKPOINT_PAGES};`,
    );
    const { logId, isUpgraded } = await connection.transaction('BEGIN IMMEDIATE', () => readOrCreate(connection, path));
    if (isUpgraded) await rewrite(connection, path, onRewrite);
    await check(connection, path);
    return { connection, logId, partitions: await Partitions.read(connection, path) };
  } catch (error) {
    await connection.close().catch(() => undefined);
    throw error;
  }
}

/** When several processes open a new file, SQLite fails this for some immediately instead of waiting, to avoid a deadlock. */
async function switchToWal(connection: Connection): Promise<void> {
  const giveUpAt = performance.now() + MAX_SWITCH_MS;
  for (;;) {
    try {
      await connection.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      const busy = error instanceof SqliteError && error.code === 'SQLITE_BUSY';
      if (!busy || performance.now() > giveUpAt) throw error;
      await sleep(SWITCH_RETRY_MS);
    }
  }
}

/** Whether a file is empty. Refuses one that is not a log, or of a later format, before anything is changed in it. */
async function isNew(connection: Connection, path: string): Promise<boolean> {
  const found = await findFormat(connection, FORMAT);
  if (found.is === 'FOREIGN')
    throw new LogError(
      'LOG_FAILED',
      `${path} is a database of another application; choose another SHERATAN_DATA_DIR.`,
      undefined,
      path,
    );
  if (found.is === 'OTHER_VERSION' && found.version !== WITHOUT_PARTITIONS)
    throw new LogError(
      'LOG_FAILED',
      `${path} has format ${found.version}; this version of Sheratan reads format ${FORMAT.version}. Upgrade Sheratan.`,
      undefined,
      path,
    );
  return found.is === 'NEW';
}

async function readOrCreate(connection: Connection, path: string): Promise<{ logId: string; isUpgraded: boolean }> {
  const { is } = await findFormat(connection, FORMAT);
  if (is === 'NEW') await create(connection);
  if (is === 'OTHER_VERSION') await upgrade(connection);
  const [row] = await connection.all<{ value: string }>("SELECT value FROM log WHERE key = 'log_id'");
  if (row === undefined)
    throw new LogError(
      'LOG_CORRUPT',
      `${path} has no log id. Run \`sheratan restore --repair\`, or restore the file from a copy.`,
      undefined,
      path,
    );
  return { logId: row.value, isUpgraded: is === 'OTHER_VERSION' };
}

async function create(connection: Connection): Promise<void> {
  await connection.exec(SCHEMA + PARTITIONS);
  await addPartition(connection, { number: 1, first: 1 });
  await connection.run("INSERT INTO log (key, value) VALUES ('log_id', ?)", [newLogId()]);
  await markFormat(connection, FORMAT);
}

/** Makes the one table of the earlier format the first partition. */
async function upgrade(connection: Connection): Promise<void> {
  await connection.exec(`ALTER TABLE events RENAME TO ${tableOf(1)}; ${PARTITIONS}`);
  await connection.run('INSERT INTO partitions (number, first) VALUES (1, 1)');
  await showPartitions(connection);
  await markFormat(connection, FORMAT);
}

/**
 * Makes a file of the earlier format able to give free pages back to the disk, which requires that it is rewritten. Without
 * room for that, or while another process uses it, it remains as it is: it then only never gets smaller.
 */
async function rewrite(connection: Connection, path: string, onRewrite?: (bytes: number) => void): Promise<void> {
  const [{ size }, { bavail, bsize }] = await Promise.all([stat(path), statfs(dirname(path))]);
  if (bavail * bsize < 2 * size) return;
  onRewrite?.(size);
  try {
    await connection.exec('PRAGMA auto_vacuum = INCREMENTAL; VACUUM');
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
  }
}

/**
 * Gives a log a new id, and keeps its events: positions handed out before are refused from then on. For a log that has
 * lost events, because new events take the positions of the lost ones. No process may have the log open.
 * @returns the new id
 * @throws LogError LOG_CORRUPT, LOG_FAILED; SqliteError
 */
export async function renewLogId(path: string): Promise<string> {
  const { connection } = await openLogFile(path);
  try {
    const logId = newLogId();
    await connection.run("UPDATE log SET value = ? WHERE key = 'log_id'", [logId]);
    return logId;
  } finally {
    await connection.close();
  }
}

/**
 * Reading verifies each event and that none is missing between two. Only this check finds events that a damaged index
 * omits, such as the newest events of a stream; the next append to that stream would get a wrong revision.
 */
async function check(connection: Connection, path: string): Promise<void> {
  const [size] = await connection.all<{ bytes: number }>(
    'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size',
  );
  if (size === undefined || size.bytes > MAX_CHECKED_BYTES) return;
  const [result] = await connection.all<{ integrity_check: string }>('PRAGMA integrity_check(1)');
  if (result?.integrity_check !== 'ok') {
    throw new LogError(
      'LOG_CORRUPT',
      `${path} is damaged: ${result?.integrity_check ?? 'it cannot be checked'}. Stop the core and run \`sheratan restore --repair\`, or restore the file from a copy.`,
      undefined,
      path,
    );
  }
}

/** Converts an error of SQLite into a LogError; returns any other error unchanged. @param path of the log, for the message */
export function toLogError(error: unknown, path: string): unknown {
  if (!(error instanceof SqliteError)) return error;
  const because = `(${error.message})`;
  switch (error.code) {
    case 'SQLITE_FULL':
      return new LogError(
        'LOG_FULL',
        `The disk that holds ${path} is full; nothing was written. Free space and try again ${because}.`,
        error,
        path,
      );
    case 'SQLITE_READONLY':
    case 'SQLITE_PERM':
      return new LogError(
        'LOG_READONLY',
        `${path} cannot be written; make the file and its folder writable ${because}.`,
        error,
        path,
      );
    case 'SQLITE_CANTOPEN':
      return new LogError(
        'LOG_READONLY',
        `${path} cannot be opened; check that its folder exists and is writable ${because}.`,
        error,
        path,
      );
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return new LogError(
        'LOG_BUSY',
        `Another process has locked ${path} for writing; try again ${because}.`,
        error,
        path,
      );
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
      return new LogError(
        'LOG_CORRUPT',
        `${path} is damaged. Stop the core and run \`sheratan restore --repair\`, or restore the file from a copy; \`sheratan export --skip-damaged\` saves the events that can still be read ${because}.`,
        error,
        path,
      );
    default:
      return new LogError('LOG_FAILED', `${path} could not be read or written ${because}.`, error, path);
  }
}
