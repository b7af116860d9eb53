/** Codes of requests that cannot be answered as they were asked. Nothing was changed. */
export type RequestErrorCode = 'BAD_USER_INPUT' | 'CURSOR_INVALID' | 'POSITION_UNKNOWN' | 'CONSISTENCY_TIMEOUT';

/** A request that cannot be answered as it was asked, with what to do about it. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: RequestErrorCode;

  constructor(code: RequestErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
