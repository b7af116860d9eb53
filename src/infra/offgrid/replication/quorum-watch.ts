import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import type { Projector } from '../../projector/projector.js';
import { Waiters } from '../../projector/waiters.js';
import { replicatedThrough } from '../../readmodels/outbox/outbox-rows.js';

/** How long the outbox is left when it cannot be read, in milliseconds. */
const RETRY_MS = 1_000;

/**
 * Tells when a quorum has signed for a place in the log. While anybody waits, each commit of the outbox is followed by
 * one look into it, for all who wait.
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

  /** Resolves true once a quorum has signed for everything up to a position; false after the timeout, or once it is over. */
  reaches(position: bigint, timeoutMs: number): Promise<boolean> {
    // What was signed for stays so.
    if (position <= this.#through) return Promise.resolve(true);
    if (this.#stopping.signal.aborted) return Promise.resolve(false);
    const reached = this.#waiters.wait(position, timeoutMs);
    this.#looking ??= this.#look(this.#stopping.signal);
    return reached;
  }

  /** Those who wait are told that it was not reached. */
  dismiss(): void {
    this.#waiters.dismiss();
  }

  /** The same, and from now on nobody waits. */
  stop(): void {
    this.#stopping.abort();
    this.dismiss();
  }

  async #look(signal: AbortSignal): Promise<void> {
    while (!this.#waiters.isEmpty && !signal.aborted) {
      const committed = this.#outbox.committed(signal);
      try {
        this.#through = await this.#read();
        this.#waiters.reached(this.#through);
        if (!this.#waiters.isEmpty) await committed;
      } catch (error) {
        this.#logger.error({ err: error }, 'the outbox cannot be read; trying again');
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    this.#looking = undefined;
  }

  async #read(): Promise<bigint> {
    const through = await this.#outbox.file.read(replicatedThrough);
    if (through === undefined) throw new Error('outbox.db has a quorum beyond the last event it has: it is damaged.');
    return through;
  }
}
