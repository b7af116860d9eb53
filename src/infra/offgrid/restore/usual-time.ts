/** An answer is late when it takes longer than this, in milliseconds, and than three times what is usual for a host. */
const LATE_MS = 5_000;
const LATE_TIMES = 3;
/** How many last answers determine how long a host usually takes. */
const MAX_TIMES = 15;

/** How long a host usually takes to answer, by its last answers. */
export class UsualTime {
  readonly #times: number[] = [];

  /** @param ms how long an answer took */
  add(ms: number): void {
    this.#times.push(ms);
    if (this.#times.length > MAX_TIMES) this.#times.shift();
  }

  /** How long the host is waited for before another is asked as well, in milliseconds. */
  get patienceMs(): number {
    const usual = [...this.#times].sort((a, b) => a - b)[Math.floor(this.#times.length / 2)] ?? 0;
    return Math.max(LATE_MS, LATE_TIMES * usual);
  }
}
