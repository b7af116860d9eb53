/**
 * CATCHING_UP: folding what the log already holds. LIVE: at its end. HALTED: a handler threw; the event is kept and shown
 * until `resume`. REBUILDING: a new generation is being filled beside the live one, which goes on answering.
 */
export type ProjectionState = 'CATCHING_UP' | 'LIVE' | 'HALTED' | 'REBUILDING';

/**
 * NEWER_EVENT: a newer build wrote the event, and this one does not know its type, category or schema version. FOLD_FAILED:
 * the event could not be folded. WRITE_FAILED: the file cannot be written, which is tried again.
 */
export type ProjectionFailureCode = 'NEWER_EVENT' | 'FOLD_FAILED' | 'WRITE_FAILED';

/** The event that stopped a projection, and why; or that its file cannot be written, which is tried again. */
export interface ProjectionFailure {
  readonly code: ProjectionFailureCode;
  /** Of the event; or up to where the file has been written. */
  readonly position: bigint;
  readonly eventId: string | null;
  readonly type: string | null;
  readonly message: string;
}

/** Where a projection is. */
export interface ProjectionStatus {
  readonly name: string;
  readonly version: number;
  readonly state: ProjectionState;
  /** What has been folded; of the new generation while REBUILDING. */
  readonly position: bigint;
  /** The end of the log. */
  readonly head: bigint;
  readonly eventsPerSecond: number;
  /** Time to the end of the log at this rate; null when it is not moving. */
  readonly etaSeconds: number | null;
  readonly generation: number;
  readonly error: ProjectionFailure | null;
}
