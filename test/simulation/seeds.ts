import type { Family } from './scenery.js';
import { simulate, type Outcome } from './simulate.js';

/** Lines of the trace of a failing seed that are shown. */
const SHOWN_LINES = 120;
/** The most failing seeds that are reported. */
const MAX_FAILURES = 5;

/** A range of seeds. */
export interface Seeds {
  readonly first: number;
  readonly count: number;
  /** The family of all of them; by default, each seed has its own. */
  readonly family?: Family | undefined;
}

/** Runs seeds, and prints a summary. Resolves the reports of the failing ones; empty when none fails. */
export async function play({
  first,
  count,
  family,
}: Seeds): Promise<{ readonly failures: string; readonly tally: Tally }> {
  const tally = new Tally();
  const failures: string[] = [];
  const [begun, worked] = [performance.now(), process.cpuUsage().user];
  for (let seed = first; seed < first + count && failures.length < MAX_FAILURES; seed += 1) {
    const outcome = await simulate(seed, { family });
    tally.add(outcome);
    if (outcome.failure !== undefined) failures.push(await report(outcome));
    // Lets the test runner hear from its worker.
    await new Promise((resolve) => setImmediate(resolve));
  }
  // On a busy machine, the processor time is more telling.
  const perThousand = (ms: number) => Math.round((ms / tally.seeds) * 1_000);
  const processorMs = perThousand((process.cpuUsage().user - worked) / 1_000);
  console.log(
    `seeds ${first} to ${first + count - 1}\n${tally.words()}\n1,000 seeds: ${perThousand(performance.now() - begun)} ms, ${processorMs} of the processor`,
  );
  return { failures: failures.join('\n\n'), tally };
}

/** A failing seed with its trace: it is run again, in the same way, with the same outcome. */
async function report({ seed, family, failure }: Outcome): Promise<string> {
  const { trace } = await simulate(seed, { family, isTraced: true });
  const again = `npm run campaign -- --first ${seed} --seeds 1 --family ${family}`;
  return `seed ${seed} of family ${family}: ${failure ?? ''}\n${trace.slice(-SHOWN_LINES).join('\n')}\nAgain: ${again}`;
}

/** The outcomes of seeds, by family. */
export class Tally {
  seeds = 0;
  readonly #families = new Map<Family, Map<string, number>>();

  add({ family, ending, counts }: Outcome): void {
    this.seeds += 1;
    const sums = this.#families.get(family) ?? new Map<string, number>();
    this.#families.set(family, sums);
    for (const [name, count] of [['seeds', 1], [ending ?? 'FAILED', 1], ...Object.entries(counts)] as const) {
      const before = sums.get(name) ?? 0;
      sums.set(name, name === 'maxEpoch' ? Math.max(before, count) : before + count);
    }
  }

  /** Whether seeds end as intended: those that end otherwise prove less. Too few seeds show nothing. */
  get isConclusive(): boolean {
    const honest = this.#families.get('F0');
    const of = honest?.get('seeds') ?? 0;
    return of < 50 || (honest?.get('CONVERGED') ?? 0) / of > 0.6;
  }

  words(): string {
    return [...this.#families]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([family, sums]) => `${family}: ${[...sums].map(([name, sum]) => `${name} ${sum}`).join(', ')}`)
      .join('\n');
  }
}
