/**
 * CATCHING_UP: folding events that the log already has. LIVE: at the end of the log. HALTED: an event cannot be folded; it is
 * shown until `resume`. REBUILDING: a new generation is being built beside the live one, which still answers queries.
 */
export type ProjectionState = 'CATCHING_UP' | 'LIVE' | 'HALTED' | 'REBUILDING';

/**
 * NEWER_EVENT: a newer build wrote the event, and this build does not know its type, category or schema version. FOLD_FAILED:
 * the event could not be folded. WRITE_FAILED: the file cannot be written; the write is tried again.
 */
export type ProjectionFailureCode = 'NEWER_EVENT' | 'FOLD_FAILED' | 'WRITE_FAILED';

/** Why a projection does not continue: the event that halted it, or a failed write, which is tried again. */
export interface ProjectionFailure {
  readonly code: ProjectionFailureCode;
  /** The position of the event; for WRITE_FAILED, the position up to which the file has been written. */
  readonly position: bigint;
  readonly eventId: string | null;
  readonly type: string | null;
  readonly message: string;
}

/** The state and progress of a projection. */
export interface ProjectionStatus {
  readonly name: string;
  readonly version: number;
  readonly state: ProjectionState;
  /** The position up to which events have been folded; of the new generation while REBUILDING. */
  readonly position: bigint;
  /** The end of the log. */
  readonly head: bigint;
  readonly eventsPerSecond: number;
  /** The time to the end of the log at the present rate, in seconds; null when the projection makes no progress. */
  readonly etaSeconds: number | null;
  readonly generation: number;
  readonly error: ProjectionFailure | null;
}
