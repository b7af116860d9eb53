import { basename } from 'node:path';
import { NewerEventError } from '../../domain/newer-event.js';
import { LogError, type LogErrorCode } from '../eventlog/errors.js';
import { httpAnswer, type ErrorAnswer } from '../http-kit/error-answer.js';
import { RequestError, type RequestErrorCode } from '../readmodels/request-error.js';

const LOG_STATUS: Partial<Record<LogErrorCode, number>> = {
  LOG_FULL: 507,
  LOG_TOO_LARGE: 413,
  LOG_OVERLOADED: 503,
  LOG_BUSY: 503,
  LOG_CLOSED: 503,
};

const REQUEST_STATUS: Readonly<Record<RequestErrorCode, number>> = {
  BAD_USER_INPUT: 400,
  CURSOR_INVALID: 400,
  POSITION_UNKNOWN: 400,
  CONSISTENCY_TIMEOUT: 503,
};

/** The answer to a client of the core for an error, the same for every API; undefined for an internal error. */
export function errorAnswer(error: unknown): ErrorAnswer | undefined {
  if (error instanceof LogError) {
    return { status: LOG_STATUS[error.code] ?? 503, code: error.code, message: messageOf(error) };
  }
  if (error instanceof NewerEventError) return { status: 503, code: error.code, message: error.message };
  if (error instanceof RequestError) {
    return { status: REQUEST_STATUS[error.code], code: error.code, message: error.message };
  }
  return httpAnswer(error);
}

/** The message for clients, without file paths and without SQLite's own message, which belong only in the core's log. */
function messageOf({ message, path, cause }: LogError): string {
  const shown = cause instanceof Error ? message.replace(` (${cause.message})`, () => '') : message;
  return path === undefined ? shown : shown.replaceAll(path, () => basename(path));
}
