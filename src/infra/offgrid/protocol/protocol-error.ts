/**
 * MALFORMED: the bytes are not what the protocol prescribes. TOO_LARGE: there are more bytes than the protocol allows.
 * NOT_SIGNED: the signature does not verify under the key.
 */
export type ProtocolErrorCode = 'MALFORMED' | 'TOO_LARGE' | 'NOT_SIGNED';

/** Bytes of another node are refused. The message names the member and the rule, and quotes no text of the sender. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
