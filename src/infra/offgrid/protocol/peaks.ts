import { HASH_BYTES } from '../../../domain/merkle.js';

/** The peaks of a frontier in their stored form: concatenated. */
export function packPeaks(peaks: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(peaks);
}

/** The peaks from their stored form. */
export function unpackPeaks(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.byteLength / HASH_BYTES }, (_, i) =>
    bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}
