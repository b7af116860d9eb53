import { REFUSAL_STATUS, encodeRefusal, type Refusal, type RefusalCode } from '../protocol/refusal.js';

/** A request is refused; nothing was changed by it. */
export class RefusalError extends Error {
  override readonly name = 'RefusalError';
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
