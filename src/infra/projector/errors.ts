/** What can go wrong with a projection's file. */
export type ProjectionErrorCode = 'CHECKPOINT_BEYOND_HEAD' | 'FOREIGN_LOG' | 'PROJECTION_BUSY' | 'PROJECTION_DAMAGED';

/** A projection cannot be used as it is; the message says what to run. */
export class ProjectionError extends Error {
  override readonly name = 'ProjectionError';
  readonly code: ProjectionErrorCode;

  constructor(code: ProjectionErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
