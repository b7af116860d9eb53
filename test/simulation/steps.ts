import type { Random } from '../support/random.js';

/** Each kind of step, and how often it is taken by default. */
const STEPS = {
  ...{ append: 40, crash: 3, stop: 0.7, hostDies: 5, hostIsGone: 0.15, cut: 3, full: 1, replay: 3, forward: 1 },
  ...{ copy: 1.5, putBack: 2.5, lease: 0.7, restore: 1.5, restoreWithLoss: 0.25, drill: 1, policy: 2.5 },
  ...{ beginLine: 0.25, rot: 1, scrub: 1, hurry: 1, ofFamily: 3, part: 2 },
} as const;
export type Step = keyof typeof STEPS;

/** How many times as often a kind of step is taken. */
export type More = Readonly<Partial<Record<Step, number>>>;

/** Steps that take nothing away: those of a seed without troubles. */
const CALM: ReadonlySet<Step> = new Set<Step>(['append', 'drill', 'hurry']);
/** Steps that are taken as often in every seed. */
const STEADY: ReadonlySet<Step> = new Set<Step>(['part']);
/** How much more or less often a kind of step is taken in one seed than in the next, as powers of two. */
const SWARM = 2.5;

/** How often each kind of step is taken in a seed. */
export class Odds {
  readonly #random: Random;
  readonly #odds: readonly (readonly [Step, number])[];
  readonly #total: number;

  constructor(random: Random, isCalm: boolean, more: More) {
    this.#random = random;
    const kinds = (Object.keys(STEPS) as Step[]).filter((step) => !isCalm || CALM.has(step));
    this.#odds = kinds.map((step) => {
      const swarm = STEADY.has(step) ? 1 : 2 ** (SWARM * (2 * random.next() - 1));
      return [step, STEPS[step] * (more[step] ?? 1) * swarm] as const;
    });
    this.#total = this.#odds.reduce((sum, [, odds]) => sum + odds, 0);
  }

  draw(): Step {
    let left = this.#random.next() * this.#total;
    for (const [step, odds] of this.#odds) if ((left -= odds) < 0) return step;
    return 'append';
  }
}
