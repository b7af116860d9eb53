/** The initial size of a batch to a host, or of a page from it, in bytes. It is small because the link may be slow. */
export const FIRST_BYTES = 16 * 1024;
/** The minimum size of a batch or a page, in bytes. */
const MIN_BYTES = 1024;
/** An answer within this time doubles the size, in milliseconds. */
const QUICK_MS = 2_000;
/** An answer that takes longer than this halves the size, in milliseconds. */
const SLOW_MS = 10_000;

/** The size of the next batch or page in bytes, after one of `bytes` took `tookMs` (docs/protocol.md). @param max in bytes */
export function sizeAfter(bytes: number, tookMs: number, max: number): number {
  if (tookMs < QUICK_MS) return Math.min(max, 2 * bytes);
  return tookMs > SLOW_MS ? Math.max(MIN_BYTES, Math.floor(bytes / 2)) : bytes;
}

/** The size of the next batch or page in bytes, after one of `bytes` timed out. */
export function sizeAfterTimeout(bytes: number): number {
  return Math.max(MIN_BYTES, Math.floor(bytes / 4));
}
