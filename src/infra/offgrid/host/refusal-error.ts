import { REFUSAL_STATUS, encodeRefusal, type Refusal, type RefusalCode } from '../protocol/refusal.js';

/** A request is refused. It has changed nothing, except that evidence may have been kept. */
export class RefusalError extends Error {
  override readonly name: string = 'RefusalError';
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(refusal.message, options);
    this.refusal = refusal;
  }

  /** The code of the refusal. */
  get code(): RefusalCode {
    return this.refusal.code;
  }

  /** The HTTP status of the answer. */
  get status(): number {
    return REFUSAL_STATUS[this.code];
  }

  /** The body of the answer. */
  get body(): Uint8Array {
    return encodeRefusal(this.refusal);
  }
}

/**
 * A request is refused for a part that the HMAC does not prove: its path, or its body before the hash is compared. That part
 * may differ from what was sent. The answer has no HMAC, so that no one who changed the request gets the answer believed.
 */
export class UnprovenRequestError extends RefusalError {
  override readonly name = 'UnprovenRequestError';
}
