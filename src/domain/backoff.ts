/** The first wait after a failure is at most this, in milliseconds; it doubles with each further one */
const FIRST_MS = 250;
/** up to this. */
export const MAX_BACKOFF_MS = 60_000;

/**
 * How long to leave something alone after so many failures in a row, in milliseconds: exponential backoff with full
 * jitter, so that those who failed together do not come back together.
 * @param failures from 1
 * @param random from 0 to below 1
 */
export function backoffMs(failures: number, random: number): number {
  return random * Math.min(MAX_BACKOFF_MS, FIRST_MS * 2 ** Math.min(failures - 1, 30));
}
