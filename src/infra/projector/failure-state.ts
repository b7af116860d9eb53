import { FailureLog } from '../platform/failure-log.js';
import type { Logger } from '../platform/logger.js';
import type { FoldError } from './batch-folder.js';
import type { ProjectionFailure } from './status.js';

/**
 * What prevents a projection from continuing: an event that halted the live tables or a rebuild, until it is resumed; or a
 * write that failed (a full disk), until one succeeds. Logs when it begins and ends.
 */
export class FailureState {
  readonly #halts = new Map<'live' | 'next', ProjectionFailure>();
  readonly #logger: Logger;
  readonly #logs: Readonly<Record<'live' | 'next', FailureLog>>;
  #write: ProjectionFailure | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.#logs = {
      live: new FailureLog(logger, 'projection failed'),
      next: new FailureLog(logger, 'rebuild failed'),
    };
  }

  get isHalted(): boolean {
    return this.#halts.size > 0;
  }

  /** The most serious failure: of the live tables, then of a rebuild, then of a write. */
  get worst(): ProjectionFailure | undefined {
    return this.#halts.get('live') ?? this.#halts.get('next') ?? this.#write;
  }

  /** Whether an event halted the live tables, or a rebuild; the live tables still follow the log while a rebuild is halted. */
  halts(slot: 'live' | 'next'): boolean {
    return this.#halts.has(slot);
  }

  halt(slot: 'live' | 'next', { code, event, message }: FoldError): void {
    const failure = { code, position: event.position, eventId: event.id, type: event.type, message };
    this.#halts.set(slot, failure);
    this.#logger.error({ ...failure, position: event.position.toString(), slot }, 'projection halted');
  }

  /** Clears the halt of a rebuild, or all halts without an argument. */
  lift(slot?: 'next'): void {
    if (slot === undefined) this.#halts.clear();
    else this.#halts.delete(slot);
  }

  /** Records that the changes after a position could not be written. */
  writeFailed(slot: 'live' | 'next', position: bigint, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#write = { code: 'WRITE_FAILED', position, eventId: null, type: null, message };
    this.#logs[slot].failed(error);
  }

  written(slot: 'live' | 'next'): void {
    this.#write = undefined;
    this.#logs[slot].succeeded();
  }
}
