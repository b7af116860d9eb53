import { REFUSAL_STATUS, encodeRefusal, type Refusal, type RefusalCode } from '../protocol/refusal.js';

/** A request is refused; nothing was changed by it. */
export class RefusalError extends Error {
  override readonly name: string = 'RefusalError';
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(refusal.message, options);
    this.refusal = refusal;
  }

  get code(): RefusalCode {
    return this.refusal.code;
  }

  get status(): number {
    return REFUSAL_STATUS[this.code];
  }

  /** The body of the answer. */
  get body(): Uint8Array {
    return encodeRefusal(this.refusal);
  }
}

/**
 * A request is refused for what came of it, which may not be what was sent: its path, or a body that is not the one which its headers
 * are signed for. The answer has no HMAC, or whoever changed the request could have the host believed.
 */
export class UnprovenRequestError extends RefusalError {
  override readonly name = 'UnprovenRequestError';
}
