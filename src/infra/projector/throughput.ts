import { performance } from 'node:perf_hooks';

/** The span over which a rate is taken, in milliseconds. */
const WINDOW_MS = 5_000;

/** How many a second, over the last few seconds. Times are milliseconds of a clock that does not jump. */
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

/** How fast a projection goes, and for how long it has been behind. */
export class Throughput {
  readonly #events = new Rate();
  /** In positions: what lies between two of them need not be one event. */
  readonly #positions = new Rate();
  /** Since when it has been seen behind; always, until it was at the end once. */
  #behindSince: number | undefined = Number.NEGATIVE_INFINITY;

  /** It went on by some events, over so many positions. */
  add(events: number, positions: bigint): void {
    const now = performance.now();
    this.#events.add(events, now);
    this.#positions.add(Number(positions), now);
  }

  /**
   * How fast it goes, and when it will be at the end, in seconds, at this pace; `null` when it does not move. Both are of one moment.
   * @param behind in positions
   */
  forecast(behind: bigint): { readonly eventsPerSecond: number; readonly etaSeconds: number | null } {
    const now = performance.now();
    const eventsPerSecond = this.#events.perSecond(now);
    if (behind <= 0n) return { eventsPerSecond, etaSeconds: 0 };
    const perSecond = this.#positions.perSecond(now);
    return { eventsPerSecond, etaSeconds: perSecond > 0 ? Number(behind) / perSecond : null };
  }

  /** Somebody has seen whether it was at the end. */
  seen(isAtEnd: boolean): void {
    if (isAtEnd) this.#behindSince = undefined;
    else this.#behindSince ??= performance.now();
  }

  /** For how long it has been behind, as far as anyone looked, in milliseconds; infinity before it was at the end once. */
  get behindMs(): number {
    return this.#behindSince === undefined ? 0 : performance.now() - this.#behindSince;
  }
}
