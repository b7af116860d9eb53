import pLimit from 'p-limit';
import type { Time } from '../../platform/clock.js';
import { FailureLog } from '../../platform/failure-log.js';
import type { Logger } from '../../platform/logger.js';
import { Nudge } from '../../platform/nudge.js';
import type { Journal } from './ports.js';
import type { Outbox, ReplicationState } from './replication-state.js';

/** How long to wait after the outbox could not be read, in milliseconds. */
const RETRY_MS = 1_000;

/** The replication state of the log, kept up to date. */
export class StateCache {
  readonly #outbox: Outbox;
  readonly #journal: Journal;
  readonly #changed = new Nudge();
  /** One read at a time, so that none that began earlier ends later. */
  readonly #inTurn = pLimit(1);
  #current: ReplicationState;

  private constructor(outbox: Outbox, journal: Journal, current: ReplicationState) {
    this.#outbox = outbox;
    this.#journal = journal;
    this.#current = current;
  }

  static async open(outbox: Outbox, journal: Journal): Promise<StateCache> {
    return new StateCache(outbox, journal, await outbox.known());
  }

  get current(): ReplicationState {
    return this.#current;
  }

  /** Resolves when something may have changed, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** Wakes all who wait. */
  notify(): void {
    this.#changed.notify();
  }

  /** The state once everything now in the log is known. @throws Error when that takes too long */
  async latest(): Promise<ReplicationState> {
    if (!(await this.#outbox.catchUp()))
      throw new Error('The outbox has not caught up with the log, so nothing can be concluded from it yet.');
    await this.#read();
    return this.#current;
  }

  /** The facts are durable, and known here, when this returns: the next decision is based on them. */
  async record(facts: Parameters<Journal['record']>[0]): Promise<void> {
    await this.#journal.record(facts);
    await this.#read();
  }

  /** Keeps up with the log until the signal aborts. */
  async follow(time: Time, logger: Logger, signal: AbortSignal): Promise<void> {
    const failures = new FailureLog(logger, 'the outbox cannot be read');
    while (!signal.aborted) {
      const changed = this.#outbox.changed(signal);
      try {
        await this.#read();
        failures.succeeded();
        await changed;
      } catch (error) {
        failures.failed(error);
        await time.sleep(RETRY_MS, signal);
      }
    }
  }

  #read(): Promise<void> {
    return this.#inTurn(async () => {
      this.#current = await this.#outbox.known();
      this.#changed.notify();
    });
  }
}
