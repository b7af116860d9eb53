import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import { EMPTIED } from '../../src/infra/eventlog/embedded/event-row.js';
import type { Connection } from '../../src/infra/sqlite/connection.js';

/** Empties rows of a log's file as a repair does when it cannot recover them. */
export async function emptyRows(file: Connection, condition: string): Promise<void> {
  const emptied = `type = '${EMPTIED}', etype = 0, data = '', metadata = '', checksum = 0`;
  await file.run(`UPDATE events SET ${emptied} WHERE ${condition}`);
}

/** A temporary folder for a `log.db`, and the logs that were opened in it. */
export class LogFolder {
  readonly path: string;
  readonly file: string;
  readonly #opened: EmbeddedLog[] = [];

  private constructor(path: string) {
    this.path = path;
    this.file = join(path, 'log.db');
  }

  static async create(): Promise<LogFolder> {
    return new LogFolder(await mkdtemp(join(tmpdir(), 'sheratan-log-')));
  }

  /** Opens the folder's log; it may be open several times. */
  async open(file = this.file): Promise<EmbeddedLog> {
    const log = await EmbeddedLog.open(file, systemClock);
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
