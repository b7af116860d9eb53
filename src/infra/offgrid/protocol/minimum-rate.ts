/** The time over which bytes must keep their rate, in milliseconds. */
const RATE_WINDOW_MS = 30_000;
/** The slowest that bytes may come or go, in bytes a second. */
const MIN_BYTES_PER_SECOND = 512;

/** How fast bytes must come, and over how long that is looked at. */
export interface Rate {
  readonly windowMs: number;
  readonly minBytesPerSecond: number;
}

export const SLOWEST: Rate = { windowMs: RATE_WINDOW_MS, minBytesPerSecond: MIN_BYTES_PER_SECOND };

/** Tells whether bytes have come too slowly over a window of time. */
export class MinimumRate {
  readonly #rate: Rate;
  /** How many bytes there were at moments of the last window. */
  readonly #marks: { readonly at: number; readonly bytes: number }[] = [];

  constructor(rate = SLOWEST) {
    this.#rate = rate;
  }

  /**
   * Whether too few bytes have come over the window that ends now; false while no window has passed.
   * @param now in milliseconds
   * @param bytes all there were so far
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
