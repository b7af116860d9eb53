/** The span over which a rate is taken, in milliseconds. */
const WINDOW_MS = 5_000;

/** How many a second, over the last few seconds. */
export class Rate {
  readonly #now: () => number;
  #samples: { readonly at: number; readonly count: number }[] = [];

  /** @param now milliseconds of a clock that does not jump */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(count: number): void {
    const at = this.#now();
    this.#samples.push({ at, count });
    if (this.#samples.length > 1_000) this.#samples.splice(0, 500);
  }

  perSecond(): number {
    const now = this.#now();
    this.#samples = this.#samples.filter(({ at }) => now - at <= WINDOW_MS);
    const [first] = this.#samples;
    if (first === undefined) return 0;
    const total = this.#samples.reduce((sum, { count }) => sum + count, 0);
    return (total * 1_000) / Math.max(now - first.at, 1_000);
  }
}
