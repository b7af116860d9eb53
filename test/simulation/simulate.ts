import { createHash } from 'node:crypto';
import { end, type Ending } from './ending.js';
import { Violation } from './invariants.js';
import type { Family } from './scenery.js';
import { SimLog } from './sim-log.js';
import type { More } from './steps.js';
import { Troubles } from './troubles.js';
import { World } from './world.js';

/** How long the first quorum is waited for before anything is done to it, in milliseconds: most troubles need something to lose. */
const FIRST_QUORUM_MS = 30_000;

/** What became of a seed. */
export interface Outcome {
  readonly seed: number;
  readonly family: Family;
  readonly failure: string | undefined;
  readonly trace: readonly string[];
  readonly ending: Ending | undefined;
  readonly counts: Readonly<Record<string, number>>;
}

/** How a seed is lived through. */
export interface SimulateOptions {
  /** Whether what happens is written down. */
  readonly isTraced?: boolean;
  /** The family, where it does not follow from the seed. */
  readonly family?: Family | undefined;
  /** What there is of troubles, but for what the family has. */
  readonly isCalm?: boolean;
  /** What there is more of. */
  readonly more?: More;
}

/** The trace in short: the same for the same seed. */
export function digestOf({ trace, failure, counts }: Outcome): string {
  return createHash('sha256')
    .update(`${failure ?? ''} ${JSON.stringify(counts)}\n${trace.join('\n')}`)
    .digest('hex');
}

/** Lives through one seed. */
export async function simulate(seed: number, options: SimulateOptions = {}): Promise<Outcome> {
  // Most errors are how things are said in the product: to tell where they come from takes longer than all else.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = options.isTraced === true ? stackTraceLimit : 0;
  const world = new World(seed, options.isTraced === true, options.family);
  const troubles = new Troubles(world, options);
  let ending: Ending | undefined;
  const failure = await live(world, troubles).then(
    (reached) => {
      ending = reached;
      return undefined;
    },
    (error: unknown) => {
      if (error instanceof Error) return error instanceof Violation ? error.message : String(error.stack);
      throw error;
    },
  );
  Error.stackTraceLimit = stackTraceLimit;
  const { maxEpoch, ...counted } = world.invariants.counts;
  const { holes } = world.histories;
  const counts = { ...counted, ...world.readings.counts, ...troubles.counts, holes, maxEpoch };
  return { seed, family: world.family, failure, trace: world.trace, ending, counts };
}

async function live(world: World, troubles: Troubles): Promise<Ending> {
  const log = new SimLog(`log${world.newName()}`, world.histories);
  world.newCore({ log, writer: undefined }, world.newPolicy()).start();
  await world.run(FIRST_QUORUM_MS, () => world.invariants.reported.length > 0);
  await world.run(troubles.begin());
  troubles.end();
  return end(world, troubles);
}
