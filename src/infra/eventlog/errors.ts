/** What can go wrong with a log. */
export type LogErrorCode =
  | 'WRONG_EXPECTED_REVISION'
  | 'STREAM_TOMBSTONED'
  | 'EVENT_INVALID'
  | 'LOG_FULL'
  /** More than the server takes at a time, though not more than a log takes. */
  | 'LOG_TOO_LARGE'
  | 'LOG_READONLY'
  | 'LOG_BUSY'
  | 'LOG_OVERLOADED'
  | 'LOG_CORRUPT'
  | 'LOG_CLOSED'
  /** The server cannot be reached now. */
  | 'LOG_UNAVAILABLE'
  /** The server does not let us in, or not do this. */
  | 'LOG_DENIED'
  /** The hosts have, or follow, another story than this log: nothing more may be written to it. */
  | 'REPLICATION_STOPPED'
  | 'LOG_FAILED';

/** A failure of the log, by a stable code. */
export class LogError extends Error {
  override readonly name: string = 'LogError';
  readonly code: LogErrorCode;
  /** The file that the message names, if it names one: whoever tells clients leaves out where it is. */
  readonly path: string | undefined;

  constructor(code: LogErrorCode, message: string, cause?: unknown, path?: string) {
    super(message, { cause });
    this.code = code;
    this.path = path;
  }
}

/** Makes the error for what would wait behind too much else. @param what waits: `commands wait for 'job-1'` */
export function overloaded(what: string): (waiting: string) => LogError {
  return (waiting) => new LogError('LOG_OVERLOADED', `${waiting} ${what}; try again in a moment.`);
}

/** A stream was not at the revision the append expected. Nothing was written. */
export class WrongExpectedRevision extends LogError {
  override readonly name = 'WrongExpectedRevision';
  readonly stream: string;
  readonly expected: bigint | 'no-stream' | 'exists';
  /** The revision of the stream's last event; −1 when it has none. */
  readonly actual: bigint;

  constructor(stream: string, expected: bigint | 'no-stream' | 'exists', actual: bigint) {
    super(
      'WRONG_EXPECTED_REVISION',
      `Stream '${stream}' was expected at ${String(expected)} and is at ${actual < 0n ? 'no-stream' : actual.toString()}.`,
    );
    this.stream = stream;
    this.expected = expected;
    this.actual = actual;
  }
}
