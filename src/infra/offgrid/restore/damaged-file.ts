import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { categoryOf, ETYPES } from '../../../domain/event.js';
import { EMPTIED, encodeAppend, EVENT_COLUMNS, rowJson } from '../../eventlog/embedded/event-row.js';
import { openLogFile } from '../../eventlog/embedded/log-file.js';
import { newestBytes } from '../../eventlog/embedded/partition-size.js';
import { addPartition, Partitions, tableOf, type Partition } from '../../eventlog/embedded/partitions.js';
import { syncFolder } from '../../platform/files.js';
import { Connection, SqliteError, type Param } from '../../sqlite/connection.js';
import { findDamage } from './damage.js';
import { findTables, type DamagedTable } from './damaged-tables.js';
import { RepairError } from './errors.js';
import type { Filling } from './gap-filler.js';

/** Positions copied by one statement. */
const COPIED = 10_000;
/** The format of a time in a row. */
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const COPY = (from: string, to: string) => `INSERT INTO mended.${to} (${EVENT_COLUMNS})
  SELECT ${EVENT_COLUMNS} FROM main.${from} NOT INDEXED WHERE position >= ? ORDER BY position LIMIT ?`;
const INSERT = (to: string) => `INSERT INTO mended.${to} (${EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const NEXT = 'SELECT revision + 1 AS next FROM mended.events WHERE stream = ? ORDER BY revision DESC LIMIT 1';
const STREAM_WITH_HOLES =
  'SELECT stream FROM events GROUP BY stream HAVING count(*) <> max(revision) + 1 OR min(revision) <> 0 LIMIT 1';

/** A row that was written where one was damaged or missing. */
export interface Written {
  readonly position: number;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
}

/** The file that a mended log is written to, in the order of positions, with the partitions of the damaged one. */
interface Mended {
  readonly connection: Connection;
  partition: Partition;
  /** The positions at which the next partitions begin. */
  readonly next: number[];
}

/**
 * A damaged `log.db`, which no other process may have open. It is only read: what can be recovered from it goes into a
 * file beside it, which takes its place in one step once it has been found intact. The damaged file is kept.
 */
export class DamagedFile {
  readonly path: string;
  readonly #connection: Connection;
  readonly #tables: readonly DamagedTable[];

  private constructor(path: string, connection: Connection, tables: readonly DamagedTable[]) {
    this.path = path;
    this.#connection = connection;
    this.#tables = tables;
  }

  /** Where the mended log is written. */
  get mended(): string {
    return `${this.path}.repaired`;
  }

  /** Where the damaged file is kept. */
  get kept(): string {
    return `${this.path}.damaged`;
  }

  /** @throws RepairError when another process has it open, or SQLite cannot read it */
  static async open(path: string): Promise<DamagedFile> {
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(path, 'write');
      // Leaving WAL mode requires that no other process has the file open, and moves the write-ahead log back into it.
      await connection.exec(
        'PRAGMA main.locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; COMMIT;',
      );
      return new DamagedFile(path, connection, await findTables(connection));
    } catch (error) {
      await connection?.close().catch(() => undefined);
      throw explained(error, path);
    }
  }

  /** The position of its last row, and the log's id if it can still be read. @throws RepairError */
  async place(): Promise<{ readonly end: number; readonly logId: string | undefined }> {
    const [named] = await this.#connection
      .all<{ value: unknown }>("SELECT value FROM log WHERE key = 'log_id'")
      .catch(() => []);
    const logId = named?.value;
    return {
      end: Math.max(0, ...this.#tables.map(({ last }) => last)),
      logId: typeof logId === 'string' ? logId : undefined,
    };
  }

  /** @throws RepairError */
  async damage(end: number, onProgress: (position: number) => void): ReturnType<typeof findDamage> {
    return findDamage(this.#connection, this.#tables, end, onProgress).catch((error: unknown) => {
      throw explained(error, this.path);
    });
  }

  /** Whether SQLite finds the file in order, and the file lists its partitions; the content of the rows is not checked. */
  async isInOrder(): Promise<boolean> {
    const [result] = await this.#connection
      .all<{ integrity_check: string }>('PRAGMA integrity_check(1)')
      .catch(() => []);
    const isOfEarlierFormat = this.#tables.some(({ name }) => name === 'events');
    const isListed =
      isOfEarlierFormat ||
      (await Partitions.read(this.#connection, this.path).then(
        () => true,
        () => false,
      ));
    return isListed && result?.integrity_check === 'ok';
  }

  /**
   * Writes the mended log beside this one. Returns the rows that were put into the gaps.
   * @param spare the stream of acknowledgements, for a row that does not show its stream
   * @throws RepairError when an event that a host gave does not continue the log
   */
  async mend(
    fillings: readonly Filling[],
    { end, logId, spare }: { readonly end: number; readonly logId: string; readonly spare: string },
    onProgress: (position: number) => void,
  ): Promise<readonly Written[]> {
    await this.discard();
    const { connection, partitions } = await openLogFile(this.mended);
    const firsts = this.#tables.slice(1).map(({ first }) => first);
    const mended: Mended = { connection, partition: partitions.newest, next: firsts.sort((a, b) => a - b) };
    const written: Written[] = [];
    try {
      await connection.run("UPDATE log SET value = ? WHERE key = 'log_id'", [logId]);
      await this.#connection.run('ATTACH ? AS mended', [this.mended]);
      let next = 1;
      for (const filling of fillings) {
        await this.#copy(mended, next, filling.position - 1, onProgress);
        const table = await tableFor(mended, filling.position);
        written.push(
          filling.fetched === undefined ? await this.#empty(table, filling, spare) : await this.#put(table, filling),
        );
        next = filling.position + 1;
      }
      await this.#copy(mended, next, end, onProgress);
      return written;
    } catch (error) {
      if (!(error instanceof SqliteError) || error.code !== 'SQLITE_CONSTRAINT') throw explained(error, this.path);
      throw new RepairError(
        'The rows of the log contradict each other. Restore the complete log into an empty folder.',
        {
          cause: error,
        },
      );
    } finally {
      await this.#connection.run('DETACH mended').catch(() => undefined);
      await connection.close();
    }
  }

  /** Puts the mended log in place of the damaged one, which is kept. */
  async install(): Promise<void> {
    const file = await open(this.mended, 'r+');
    await file.sync().finally(() => file.close());
    await rm(this.kept, { force: true });
    await link(this.path, this.kept);
    await rename(this.mended, this.path);
    await syncFolder(dirname(this.path));
  }

  /** Deletes what was written beside it. */
  async discard(): Promise<void> {
    for (const suffix of ['', '-wal', '-shm']) await rm(`${this.mended}${suffix}`, { force: true });
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #copy(mended: Mended, from: number, to: number, onProgress: (position: number) => void): Promise<void> {
    for (let start = from; start <= to;) {
      const table = await tableFor(mended, start);
      const stop = Math.min(start + COPIED, mended.next[0] ?? to + 1, to + 1) - 1;
      // All of these rows are intact. With a limit SQLite does not look at the one after them, which may not be.
      for (const { name, first, last } of this.#tables) {
        const [begin, end] = [Math.max(first, start), Math.min(last, stop)];
        if (begin <= end) await this.#connection.run(COPY(name, table), [begin, end - begin + 1]);
      }
      onProgress(stop);
      start = stop + 1;
    }
  }

  /** Writes an event from a host as the log had it: the same bytes, in the same place. */
  async #put(table: string, { position, remains, fetched }: Filling): Promise<Written> {
    if (fetched === undefined) throw new Error(`nothing was fetched for position ${position}`);
    const { event, from } = fetched;
    const { id, stream, type, etype, data, metadata } = event;
    const revision = Number(event.revision);
    const next = await this.#next(stream);
    if (revision !== next)
      throw new RepairError(
        `${from} has another history than this log: its event ${event.sequence} is revision ${revision} of '${stream}', but revision ${next} is missing at position ${position}. Restore into an empty folder instead: \`sheratan restore\`.`,
      );
    const [encoded] = encodeAppend(stream, [{ id, type, etype, data, metadata }], 'HISTORY');
    if (encoded === undefined) throw new Error('an event was encoded to nothing');
    const place = { position, stream, revision, recorded_at: instantOf(remains?.recorded_at) ?? metadata.at };
    await this.#connection.run(INSERT(table), JSON.parse(rowJson(encoded, place)) as Param[]);
    return { position, stream, revision, type };
  }

  /** For a local event, which no host has, keeps its place. */
  async #empty(table: string, { position, remains }: Filling, spare: string): Promise<Written> {
    const { stream: named, revision: stated, id } = remains ?? {};
    const isOfSpare = remains?.type === 'ReplicasAcknowledged' || remains?.etype === ETYPES.ReplicasAcknowledged;
    const isKnown =
      typeof named === 'string' &&
      (!isOfSpare || categoryOf(named) === categoryOf(spare)) &&
      (await this.#next(named)) === stated;
    const stream = isKnown ? named : spare;
    const revision = await this.#next(stream);
    const kept = [typeof id === 'string' ? id : '', EMPTIED, 0, '', '', instantOf(remains?.recorded_at) ?? '', 0];
    await this.#connection.run(INSERT(table), [position, stream, revision, ...kept]);
    return { position, stream, revision, type: EMPTIED };
  }

  async #next(stream: string): Promise<number> {
    const [row] = await this.#connection.all<{ next: number }>(NEXT, [stream]);
    return row?.next ?? 0;
  }
}

/** The table of a mended log for the next position: makes the partition that begins there, or before it. */
async function tableFor(mended: Mended, position: number): Promise<string> {
  const { connection, next } = mended;
  while ((next[0] ?? Infinity) <= position) {
    const partition = { number: mended.partition.number + 1, first: next.shift() ?? position };
    await connection.transaction('BEGIN IMMEDIATE', async () => {
      await addPartition(connection, partition, await newestBytes(connection));
    });
    mended.partition = partition;
  }
  return tableOf(mended.partition.number);
}

/** Checks that SQLite finds a log's file in order, and that no revision is missing. @throws RepairError, LogError */
export async function assertInOrder(path: string): Promise<void> {
  const { connection } = await openLogFile(path);
  try {
    const [result] = await connection.all<{ integrity_check: string }>('PRAGMA integrity_check(1)');
    const [holed] = await connection.all<{ stream: string }>(STREAM_WITH_HOLES);
    if (result?.integrity_check !== 'ok')
      throw new RepairError(`The mended log is not in order: ${result?.integrity_check ?? 'it cannot be checked'}.`);
    if (holed !== undefined)
      throw new RepairError(
        `The mended log would be incomplete: events of stream '${holed.stream}' would still be missing. Restore the complete log into an empty folder: \`sheratan restore\`.`,
      );
  } finally {
    await connection.close();
  }
}

function instantOf(value: unknown): string | undefined {
  return typeof value === 'string' && INSTANT.test(value) ? value : undefined;
}

function explained(error: unknown, path: string): unknown {
  if (!(error instanceof SqliteError)) return error;
  switch (error.code) {
    case 'SQLITE_BUSY':
    case 'SQLITE_LOCKED':
      return new RepairError(`Another process has ${path} open: stop it, and run this again (${error.message}).`);
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
    case 'SQLITE_ERROR':
      return new RepairError(
        `SQLite itself cannot read ${path} (${error.message}), so the file cannot be mended. Restore the complete log from the hosts: set SHERATAN_DATA_DIR to an empty folder, and run \`sheratan restore\`.`,
      );
    default:
      return error;
  }
}
