import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedLog } from '../eventlog/embedded/embedded-log.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { Clock } from '../platform/clock.js';

/** The logs that a restore writes while it reads; it ends with one of them. */
export class ScratchLogs {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #open: { readonly log: EmbeddedLog; readonly path: string }[] = [];

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Opens another empty log; the previous ones remain open. */
  async next(): Promise<EventLog> {
    const path = join(this.#folder, `reading-${this.#open.length}.db`);
    const log = await EmbeddedLog.open(path, this.#clock, { syncs: 'ON_CLOSE' });
    this.#open.push({ log, path });
    return log;
  }

  /** Closes all logs, moves one to `path` and removes the others. */
  async keep(kept: EventLog, path: string): Promise<void> {
    await this.close();
    for (const made of this.#open)
      if (made.log === kept) await rename(made.path, path);
      else await rm(made.path, { force: true });
  }

  async close(): Promise<void> {
    for (const { log } of this.#open) await log.close();
  }
}
