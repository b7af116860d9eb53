/** The first batch to a host, or page from it, and the least, in bytes: the way to it may be narrow. */
export const FIRST_BYTES = 16 * 1024;
const MIN_BYTES = 1024;
/** What is answered within this is followed by twice as much, what takes longer than */
const QUICK_MS = 2_000;
/** this by half, in milliseconds. */
const SLOW_MS = 10_000;

/** How much is sent, or asked for, after so much took so long, in bytes; docs/protocol.md. @param max in bytes */
export function sizeAfter(bytes: number, tookMs: number, max: number): number {
  if (tookMs < QUICK_MS) return Math.min(max, 2 * bytes);
  return tookMs > SLOW_MS ? Math.max(MIN_BYTES, Math.floor(bytes / 2)) : bytes;
}

/** How much is sent, or asked for, after so much has timed out, in bytes. */
export function sizeAfterTimeout(bytes: number): number {
  return Math.max(MIN_BYTES, Math.floor(bytes / 4));
}
