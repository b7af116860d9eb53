import { createHash } from 'node:crypto';
import { end, type Ending } from './ending.js';
import { Violation } from './invariants.js';
import type { Family } from './scenery.js';
import { SimLog } from './sim-log.js';
import type { More } from './steps.js';
import { Troubles } from './troubles.js';
import { World } from './world.js';

/**
 * How long to wait for the first quorum before trouble begins, in milliseconds: most troubles need something to lose.
 */
const FIRST_QUORUM_MS = 30_000;

/** The outcome of a seed. */
export interface Outcome {
  readonly seed: number;
  readonly family: Family;
  readonly failure: string | undefined;
  readonly trace: readonly string[];
  readonly ending: Ending | undefined;
  readonly counts: Readonly<Record<string, number>>;
}

/** Options for running a seed. */
export interface SimulateOptions {
  /** Whether a trace is written. */
  readonly isTraced?: boolean;
  /** The family, if it does not follow from the seed. */
  readonly family?: Family | undefined;
  /** The troubles in addition to those of the family. */
  readonly isCalm?: boolean;
  /** Steps that are taken more often. */
  readonly more?: More;
}

/** A digest of the trace: the same for the same seed. */
export function digestOf({ trace, failure, counts }: Outcome): string {
  return createHash('sha256')
    .update(`${failure ?? ''} ${JSON.stringify(counts)}\n${trace.join('\n')}`)
    .digest('hex');
}

/** Runs one seed. */
export async function simulate(seed: number, options: SimulateOptions = {}): Promise<Outcome> {
  // Most errors are part of the product's control flow: capturing their stacks would take longer than everything else.
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
