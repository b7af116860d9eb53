import { secondsSince } from './clock.js';
import type { Logger } from './logger.js';
import { reasonOf } from './reason.js';

/** The shortest time between two lines about one failing work, in milliseconds. */
const QUIET_MS = 10_000;

/** An error about which a line has been logged where it arose: whoever it reaches does not log it again. */
export interface Reported {
  readonly isReported: boolean;
}

/** Whether an error has been logged where it arose. */
export function isReported(error: unknown): boolean {
  return error instanceof Error && 'isReported' in error && error.isReported === true;
}

/**
 * Logs the failures of one work that is tried again: the first, another reason at most every 10 s, and the end. Errors that
 * were logged where they arose are left out.
 */
export class FailureLog {
  readonly #logger: Logger;
  readonly #what: string;
  #reason: string | undefined;
  #since = 0;
  #loggedAt = 0;

  /** @param what fails, as a clause: 'the outbox cannot be read' */
  constructor(logger: Logger, what: string) {
    this.#logger = logger;
    this.#what = what;
  }

  /** Notes a failure. */
  failed(error: unknown): void {
    if (isReported(error)) return;
    const reason = reasonOf(error);
    const now = performance.now();
    if (this.#reason !== undefined && (reason === this.#reason || now - this.#loggedAt < QUIET_MS)) return;
    if (this.#reason === undefined) this.#since = now;
    this.#reason = reason;
    this.#loggedAt = now;
    this.#logger.error({ err: error }, `${this.#what}; trying again`);
  }

  /** Notes a success. */
  succeeded(): void {
    if (this.#reason === undefined) return;
    this.#reason = undefined;
    this.#logger.info(`ended after ${secondsSince(this.#since)} s: ${this.#what}`);
  }
}
