import { setTimeout as delay } from 'node:timers/promises';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import type { Projector } from '../../projector/projector.js';
import { Waiters } from '../../projector/waiters.js';
import { replicatedThrough } from '../../readmodels/outbox/outbox-rows.js';

/** How long to wait after the outbox could not be read, in milliseconds. */
const RETRY_MS = 1_000;

/**
 * Reports when a quorum has signed up to a position of the log. While callers wait, each commit of the outbox is
 * followed by one read of it, for all of them.
 */
export class QuorumWatch {
  readonly #outbox: Projector;
  readonly #logger: Logger;
  readonly #waiters = new Waiters();
  readonly #stopping = new AbortController();
  #through = -1n;
  #looking: Promise<void> | undefined;

  constructor(outbox: Projector, logger: Logger) {
    this.#outbox = outbox;
    this.#logger = logger;
  }

  /**
   * Resolves true once a quorum has signed for everything up to a position; false after the timeout, or once dismissed.
   */
  reaches(position: bigint, timeoutMs: number): Promise<boolean> {
    // What a quorum has signed for remains signed for.
    if (position <= this.#through) return Promise.resolve(true);
    if (this.#stopping.signal.aborted) return Promise.resolve(false);
    const reached = this.#waiters.wait(position, timeoutMs);
    this.#looking ??= this.#look(this.#stopping.signal);
    return reached;
  }

  /** Resolves all waits with false. */
  dismiss(): void {
    this.#waiters.dismiss();
  }

  /** Resolves all waits with false, and every later one. */
  stop(): void {
    this.#stopping.abort();
    this.dismiss();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const failures = new FailureLog(this.#logger, 'the outbox cannot be read');
    while (!this.#waiters.isEmpty && !signal.aborted) {
      const committed = this.#outbox.committed(signal);
      try {
        this.#through = await this.#read();
        failures.succeeded();
        this.#waiters.reached(this.#through);
        if (!this.#waiters.isEmpty) await committed;
      } catch (error) {
        failures.failed(error);
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    this.#looking = undefined;
  }

  async #read(): Promise<bigint> {
    const through = await this.#outbox.file.read(replicatedThrough);
    if (through === undefined)
      throw new Error(
        'outbox.db is damaged: its quorum lies beyond its last event. Stop the core and delete outbox.db: it is rebuilt from the log.',
      );
    return through;
  }
}
