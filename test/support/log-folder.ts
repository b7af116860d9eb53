import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/infra/platform/clock.js';
import { EmbeddedLog, type OpenOptions } from '../../src/infra/eventlog/embedded/embedded-log.js';
import { EMPTIED } from '../../src/infra/eventlog/embedded/event-row.js';
import { addPartition, tableOf } from '../../src/infra/eventlog/embedded/partitions.js';
import { Connection } from '../../src/infra/sqlite/connection.js';

/** Empties rows of a log's file as a repair does when it cannot recover them. */
export async function emptyRows(file: Connection, condition: string): Promise<void> {
  const emptied = `type = '${EMPTIED}', etype = 0, data = '', metadata = '', checksum = 0`;
  await file.run(`UPDATE events_1 SET ${emptied} WHERE ${condition}`);
}

/** Splits the only partition of a log that nobody has open into several, which begin at these positions and 1. */
export async function split(path: string, firsts: readonly number[]): Promise<void> {
  const file = await Connection.open(path, 'write');
  for (const [i, first] of firsts.entries()) {
    const [from, to] = [tableOf(i + 1), tableOf(i + 2)];
    await addPartition(file, { number: i + 2, first });
    await file.exec(
      `INSERT INTO ${to} SELECT * FROM ${from} WHERE position >= ${first}; DELETE FROM ${from} WHERE position >= ${first}`,
    );
  }
  await file.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)');
  await file.close();
}

/** A temporary folder for a `log.db`, and the logs that were opened in it. */
export class LogFolder {
  readonly path: string;
  readonly file: string;
  readonly #options: OpenOptions;
  readonly #opened: EmbeddedLog[] = [];

  private constructor(path: string, options: OpenOptions) {
    this.path = path;
    this.file = join(path, 'log.db');
    this.#options = options;
  }

  /** @param options of every log that is opened in it */
  static async create(options: OpenOptions = {}): Promise<LogFolder> {
    return new LogFolder(await mkdtemp(join(tmpdir(), 'sheratan-log-')), options);
  }

  /** Opens the folder's log; it may be open several times. */
  async open(file = this.file, options = this.#options): Promise<EmbeddedLog> {
    const log = await EmbeddedLog.open(file, systemClock, options);
    this.#opened.push(log);
    return log;
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((log) => log.close()));
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.path, { recursive: true });
  }
}
