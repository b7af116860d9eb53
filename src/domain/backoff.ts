/** The shortest wait after a failure, in milliseconds; the longest doubles with each failure from twice this */
export const MIN_BACKOFF_MS = 250;
/** up to this. */
export const MAX_BACKOFF_MS = 60_000;

/**
 * How long to leave something alone after so many failures in a row, in milliseconds: exponential backoff, anywhere between the
 * shortest wait and the longest, so that those who failed together do not come back together.
 * @param failures from 1
 * @param random from 0 to below 1
 */
export function backoffMs(failures: number, random: number): number {
  const longest = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures, 30));
  return MIN_BACKOFF_MS + random * (longest - MIN_BACKOFF_MS);
}
