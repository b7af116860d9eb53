import { performance } from 'node:perf_hooks';

/** The period over which a rate is measured, in milliseconds. */
const WINDOW_MS = 5_000;

/** A rate per second over the last 5 s. Times are in milliseconds of a monotonic clock. */
export class Rate {
  #samples: { readonly at: number; readonly count: number }[] = [];

  add(count: number, at: number): void {
    this.#samples.push({ at, count });
    if (this.#samples.length > 1_000) this.#samples.splice(0, 500);
  }

  perSecond(now: number): number {
    this.#samples = this.#samples.filter(({ at }) => now - at <= WINDOW_MS);
    const [first] = this.#samples;
    if (first === undefined) return 0;
    const total = this.#samples.reduce((sum, { count }) => sum + count, 0);
    return (total * 1_000) / Math.max(now - first.at, 1_000);
  }
}

/** The speed of a projection, and for how long it has been behind. */
export class Throughput {
  readonly #events = new Rate();
  /** In positions, which may have gaps between events. */
  readonly #positions = new Rate();
  /** When it was first seen behind since it was last seen at the end; −infinity until it was at the end once. */
  #behindSince: number | undefined = Number.NEGATIVE_INFINITY;

  /** Records that a number of events was folded, over a number of positions. */
  add(events: number, positions: bigint): void {
    const now = performance.now();
    this.#events.add(events, now);
    this.#positions.add(Number(positions), now);
  }

  /**
   * The rate, and the time in seconds until the end of the log at that rate; null without progress. Both are of one moment.
   * @param behind in positions
   */
  forecast(behind: bigint): { readonly eventsPerSecond: number; readonly etaSeconds: number | null } {
    const now = performance.now();
    const eventsPerSecond = this.#events.perSecond(now);
    if (behind <= 0n) return { eventsPerSecond, etaSeconds: 0 };
    const perSecond = this.#positions.perSecond(now);
    return { eventsPerSecond, etaSeconds: perSecond > 0 ? Number(behind) / perSecond : null };
  }

  /** Records an observation of whether the projection was at the end of the log. */
  seen(isAtEnd: boolean): void {
    if (isAtEnd) this.#behindSince = undefined;
    else this.#behindSince ??= performance.now();
  }

  /** For how long it has been seen behind, in milliseconds; infinity until it was at the end once. */
  get behindMs(): number {
    return this.#behindSince === undefined ? 0 : performance.now() - this.#behindSince;
  }
}
