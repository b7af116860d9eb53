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
