import { ProtocolError } from './protocol-error.js';

/** Checks the size of a body or an answer. @throws ProtocolError TOO_LARGE when it has more than `max` bytes */
export function checkBodySize({ byteLength }: Uint8Array, max: number): void {
  if (byteLength > max)
    throw new ProtocolError('TOO_LARGE', `the body has ${byteLength} bytes; at most ${max} are allowed`);
}
