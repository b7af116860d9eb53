import { SqliteError } from '../sqlite/connection.js';

/** The codes of errors of a projection's file. */
export type ProjectionErrorCode =
  'CHECKPOINT_BEYOND_HEAD' | 'FOREIGN_LOG' | 'LOG_DIVERGED' | 'PROJECTION_BUSY' | 'PROJECTION_DAMAGED';

/** A projection's file cannot be used in its present state. The message states the action to take. */
export class ProjectionError extends Error {
  override readonly name = 'ProjectionError';
  readonly code: ProjectionErrorCode;

  constructor(code: ProjectionErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Converts an SQLite error about a damaged file into PROJECTION_DAMAGED; returns any other error unchanged. */
export function toProjectionError(error: unknown, path: string): unknown {
  if (!(error instanceof SqliteError) || (error.code !== 'SQLITE_CORRUPT' && error.code !== 'SQLITE_NOTADB'))
    return error;
  return new ProjectionError(
    'PROJECTION_DAMAGED',
    `${path} is damaged. It holds only a projection: delete the file and start the core again, which rebuilds it from the log.`,
    error,
  );
}
