import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';

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
