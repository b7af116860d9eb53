import { createHash, hash } from 'node:crypto';

/** Room for what trees are made of, whose parts are short: putting them together is quicker than feeding them one by one. */
const scratch = Buffer.alloc(128);

/** SHA-256 of the parts, one after the other. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return hash('sha256', only, 'buffer');
  let length = 0;
  for (const part of parts) length += part.byteLength;
  if (length <= scratch.byteLength) {
    let offset = 0;
    for (const part of parts) {
      scratch.set(part, offset);
      offset += part.byteLength;
    }
    return hash('sha256', scratch.subarray(0, length), 'buffer');
  }
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}
