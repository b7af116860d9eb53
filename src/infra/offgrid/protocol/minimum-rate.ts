/** The window over which the rate is measured, in milliseconds. */
const RATE_WINDOW_MS = 30_000;
/** The minimum rate of a transfer, in bytes per second. */
const MIN_BYTES_PER_SECOND = 512;

/** A minimum rate and the window over which it is measured. */
export interface Rate {
  readonly windowMs: number;
  readonly minBytesPerSecond: number;
}

/** The minimum rate of transfers between cores and hosts: 512 bytes per second over 30 s. */
export const SLOWEST: Rate = { windowMs: RATE_WINDOW_MS, minBytesPerSecond: MIN_BYTES_PER_SECOND };

/** Checks whether a transfer keeps a minimum rate over a sliding window. */
export class MinimumRate {
  readonly #rate: Rate;
  /** Total bytes at times within the last window; the first mark is at or before its start once a window has passed. */
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  constructor(rate = SLOWEST) {
    this.#rate = rate;
  }

  /**
   * Whether the transfer was below the minimum rate over the window that ends now; false until a first window has passed.
   * @param now in milliseconds
   * @param bytes the total so far
   */
  isTooSlow(now: number, bytes: number): boolean {
    const { windowMs, minBytesPerSecond } = this.#rate;
    this.#marks.push({ at: now, bytes });
    while (now - (this.#marks[1]?.at ?? now) >= windowMs) this.#marks.shift();
    const [oldest] = this.#marks;
    if (oldest === undefined || now - oldest.at < windowMs) return false;
    return bytes - oldest.bytes < (minBytesPerSecond * (now - oldest.at)) / 1_000;
  }
}
