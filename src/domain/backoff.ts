/** The shortest wait after a failure, in milliseconds. */
export const MIN_BACKOFF_MS = 250;
/** The upper limit of the longest wait, in milliseconds. */
export const MAX_BACKOFF_MS = 60_000;

/**
 * How long to wait after a number of failures in a row, in milliseconds: exponential backoff, at random between the shortest
 * wait and the longest, so that clients that failed together do not retry together. The longest is twice MIN_BACKOFF_MS after
 * the first failure and doubles with each further one, up to MAX_BACKOFF_MS.
 * @param failures from 1
 * @param random from 0 to below 1
 */
export function backoffMs(failures: number, random: number): number {
  const longest = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures, 30));
  return MIN_BACKOFF_MS + random * (longest - MIN_BACKOFF_MS);
}
