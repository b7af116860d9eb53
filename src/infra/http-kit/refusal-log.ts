import { isReported } from '../platform/failure-log.js';
import type { Logger } from '../platform/logger.js';

/** The time in which refusals with one code are counted, in milliseconds. */
const WINDOW_MS = 60_000;

/**
 * Logs the requests that a server cannot serve at present: the first with each code, and after a minute how many more there were.
 * Errors that were logged where they arose are left out.
 */
export class RefusalLog {
  readonly logger: Logger;
  /** Refusals since the first that was logged, by code. */
  readonly #counts = new Map<string, number>();

  constructor(logger: Logger) {
    this.logger = logger;
  }

  /** Notes that a request was refused. @param code one of the API's codes */
  refused(code: string, error: unknown): void {
    if (isReported(error)) return;
    const count = this.#counts.get(code);
    if (count !== undefined) {
      this.#counts.set(code, count + 1);
      return;
    }
    this.#counts.set(code, 0);
    this.logger.error({ err: error }, 'request refused');
    setTimeout(() => {
      const more = this.#counts.get(code) ?? 0;
      this.#counts.delete(code);
      if (more > 0) this.logger.error({ code, more }, `${more} more requests were refused with ${code} within 60 s`);
    }, WINDOW_MS).unref();
  }
}
