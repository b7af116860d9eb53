import { performance } from 'node:perf_hooks';

/** The middle value; the mean of the middle two for an even count. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** How many operations per second `work` does, when it does `count`. */
export async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (count * 1_000) / (performance.now() - start);
}

/** Prints the progress of a bench. */
export function progress(message: string): void {
  process.stderr.write(`  ${message}\n`);
}

/** Rates of contestants that ran in turn, round after round. */
export class Rounds {
  readonly #rates = new Map<string, number[]>();

  /**
   * Lets each contestant run once a round, in turn, so that a disk or a machine that slows down slows all of them.
   * @param contestants by name: a run, which returns its rate
   */
  static async run(rounds: number, contestants: Readonly<Record<string, () => Promise<number>>>): Promise<Rounds> {
    const result = new Rounds();
    for (let round = 1; round <= rounds; round += 1) {
      for (const [name, run] of Object.entries(contestants)) result.#add(name, await run());
      const latest = Object.keys(contestants).map((name) => `${name} ${perSecondText(result.#of(name).at(-1) ?? 0)}`);
      progress(`round ${round} of ${rounds}: ${latest.join(', ')}`);
    }
    return result;
  }

  median(name: string): number {
    return median(this.#of(name));
  }

  /** The median of the ratios of the rounds: what slows a complete round cancels out. */
  ratio(name: string, limit: string): number {
    const limits = this.#of(limit);
    return median(this.#of(name).map((rate, round) => rate / (limits[round] ?? Number.NaN)));
  }

  #add(name: string, rate: number): void {
    this.#rates.set(name, [...this.#of(name), rate]);
  }

  #of(name: string): readonly number[] {
    return this.#rates.get(name) ?? [];
  }
}

export function perSecondText(rate: number): string {
  return `${Math.round(rate).toLocaleString('en')}/s`;
}

/** Prints the result line of a bench, and fails the process when the figure misses its bound. */
export function result(name: string, ratio: number, bound: { floor: number } | { ceiling: number }, figures: string) {
  const met = 'floor' in bound ? ratio >= bound.floor : ratio <= bound.ceiling;
  const wanted = 'floor' in bound ? `≥ ${bound.floor}` : `≤ ${bound.ceiling}`;
  console.log(`RESULT ${name} ${ratio.toFixed(2)} (${met ? 'met' : 'MISSED'}: ${wanted}) ${figures}`);
  if (!met) process.exitCode = 1;
}

/** A whole number from the environment. */
export function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} must be a whole number from 1`);
  return value;
}
