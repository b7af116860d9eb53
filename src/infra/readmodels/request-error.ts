/** The codes of requests that cannot be answered in their present form. Nothing was changed. */
export type RequestErrorCode = 'BAD_USER_INPUT' | 'CURSOR_INVALID' | 'POSITION_UNKNOWN' | 'CONSISTENCY_TIMEOUT';

/** A request cannot be answered in its present form. The message states the action to take. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: RequestErrorCode;

  constructor(code: RequestErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
