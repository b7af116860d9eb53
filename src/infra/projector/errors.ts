import { SqliteError } from '../sqlite/connection.js';

/** What can go wrong with a projection's file. */
export type ProjectionErrorCode =
  'CHECKPOINT_BEYOND_HEAD' | 'FOREIGN_LOG' | 'LOG_DIVERGED' | 'PROJECTION_BUSY' | 'PROJECTION_DAMAGED';

/** A projection cannot be used as it is; the message says what to run. */
export class ProjectionError extends Error {
  override readonly name = 'ProjectionError';
  readonly code: ProjectionErrorCode;

  constructor(code: ProjectionErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Says in a projection's terms that SQLite found its file damaged. */
export function toProjectionError(error: unknown, path: string): unknown {
  if (!(error instanceof SqliteError) || (error.code !== 'SQLITE_CORRUPT' && error.code !== 'SQLITE_NOTADB'))
    return error;
  return new ProjectionError(
    'PROJECTION_DAMAGED',
    `${path} is damaged. It is only a projection: delete it and start again, and it is rebuilt from the log.`,
    error,
  );
}
