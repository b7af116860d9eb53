import type { Reported } from '../platform/failure-log.js';

/** The stable code of a log's failure. */
export type LogErrorCode =
  | 'WRONG_EXPECTED_REVISION'
  | 'STREAM_TOMBSTONED'
  | 'EVENT_INVALID'
  | 'LOG_FULL'
  /** An append exceeds the limit of the server, although not the limits of a log. */
  | 'LOG_TOO_LARGE'
  | 'LOG_READONLY'
  | 'LOG_BUSY'
  | 'LOG_OVERLOADED'
  | 'LOG_CORRUPT'
  | 'LOG_CLOSED'
  /** The server cannot be reached at present. */
  | 'LOG_UNAVAILABLE'
  /** The server refuses the login or the operation, or no secure connection can be made. */
  | 'LOG_DENIED'
  /** The hosts have, or follow, a history that differs from this log: nothing more may be written to it. */
  | 'REPLICATION_STOPPED'
  | 'LOG_FAILED';

/** A failure of the log, identified by a stable code. */
export class LogError extends Error implements Reported {
  override readonly name: string = 'LogError';
  readonly code: LogErrorCode;
  /** Whether it is about a server: its log reports when an outage or a refusal begins and ends. */
  readonly isReported: boolean;
  /** The file that the message names, if any: the folder is removed from the message before clients see it. */
  readonly path: string | undefined;

  constructor(code: LogErrorCode, message: string, cause?: unknown, path?: string) {
    super(message, { cause });
    this.code = code;
    this.isReported = code === 'LOG_UNAVAILABLE' || code === 'LOG_DENIED';
    this.path = path;
  }
}

/** Makes the LOG_OVERLOADED error of a full queue. @param what waits in it, such as `commands wait for 'job-1'` */
export function overloaded(what: string): (waiting: string) => LogError {
  return (waiting) => new LogError('LOG_OVERLOADED', `${waiting} ${what}; try again in a moment.`);
}

/** A stream was not at the revision that the append expected. Nothing was written. */
export class WrongExpectedRevision extends LogError {
  override readonly name = 'WrongExpectedRevision';
  readonly stream: string;
  readonly expected: bigint | 'no-stream' | 'exists';
  /** The revision of the stream's last event; −1 when it has none. */
  readonly actual: bigint;

  constructor(stream: string, expected: bigint | 'no-stream' | 'exists', actual: bigint) {
    super(
      'WRONG_EXPECTED_REVISION',
      `The append expected stream '${stream}' at ${String(expected)}, but the stream is at ${actual < 0n ? 'no-stream' : actual.toString()}.`,
    );
    this.stream = stream;
    this.expected = expected;
    this.actual = actual;
  }
}
