import { afterEach, describe, expect, it, vi } from 'vitest';
import { control, controlOf, CONTROLS, isWithout, type Control, type Counted } from './controls.js';
import { simulate, type Outcome } from './simulate.js';

vi.mock('../../src/infra/crypto/signing.js', async () => {
  const quick = await import('./quick-signing.js');
  const isSignature: typeof quick.isSignature = (...args) => isWithout('signatures') || quick.isSignature(...args);
  return { ...quick, isSignature };
});
vi.mock('../../src/infra/offgrid/protocol/transfer-size.js', () => import('./small-transfers.js'));
vi.mock('../../src/domain/election.js', () => import('./without-election.js'));
vi.mock('../../src/domain/reading.js', () => import('./without-reading.js'));
vi.mock('../../src/domain/replication.js', async () => (await import('./without-protocol.js')).replicationModule);
vi.mock('../../src/infra/offgrid/host/batch-decision.js', () => import('./without-host-rules.js'));
vi.mock('../../src/infra/offgrid/replication/local-tree.js', () => import('./without-local-tree.js'));
vi.mock('../../src/infra/offgrid/protocol/tree.js', async () => (await import('./without-protocol.js')).treeModule);
vi.mock(
  '../../src/infra/offgrid/protocol/events-answer.js',
  async () => (await import('./without-protocol.js')).eventsAnswerModule,
);

/** Runs all controls, and not only the quick ones, with SIMULATION_CONTROLS=all; or those that it names. */
const WANTED = process.env['SIMULATION_CONTROLS'];
/** A control must be found within this many seeds; the slow ones may take more. */
const SEEDS = Number(process.env['SIMULATION_CONTROL_SEEDS'] ?? (WANTED === undefined ? 60 : 3_000));

const names = (Object.keys(CONTROLS) as Control[]).filter((name) =>
  WANTED === undefined ? CONTROLS[name].isQuick : WANTED === 'all' || WANTED.split(',').includes(name),
);

describe('the simulation misses', () => {
  afterEach(() => {
    control.without = undefined;
  });

  it.each(names)('%s', { timeout: 60_000 + SEEDS * 2_000 }, async (name) => {
    const { counted } = controlOf(name);
    if (counted === undefined) await expectFailure(name);
    else await expectMore(name, counted);
  });
});

/** Without the ingredient a seed fails; with it, the same seed does not. */
async function expectFailure(name: Control): Promise<void> {
  let found: string | undefined;
  let seed = 0;
  while (found === undefined && seed < SEEDS) {
    seed += 1;
    found = (await live(name, seed, true)).failure;
  }
  console.log(`without ${name}: seed ${seed}: ${found?.slice(0, 200) ?? 'nothing is found'}`);
  expect(found, `nothing goes wrong in ${SEEDS} seeds without ${name}`).toBeDefined();
  expect((await live(name, seed, false)).failure).toBeUndefined();
}

/** Without the ingredient something occurs more often, over all seeds, than with it. */
async function expectMore(name: Control, counted: Counted): Promise<void> {
  const sums = { without: 0, with: 0 };
  for (let seed = 1; seed <= SEEDS; seed += 1)
    for (const way of ['without', 'with'] as const) {
      const { counts, failure } = await live(name, seed, way === 'without');
      if (way === 'with') expect(failure).toBeUndefined();
      sums[way] += counts[counted] ?? 0;
    }
  console.log(`without ${name}: ${counted} ${sums.without} times in ${SEEDS} seeds, and ${sums.with} with it`);
  expect(sums.without).toBeGreaterThan(sums.with);
}

async function live(name: Control, seed: number, isWithoutIt: boolean): Promise<Outcome> {
  control.without = isWithoutIt ? name : undefined;
  const { family, more = {} } = controlOf(name);
  const outcome = await simulate(seed, { family, more });
  // Lets the test runner hear from its worker.
  await new Promise((resolve) => setImmediate(resolve));
  return outcome;
}
