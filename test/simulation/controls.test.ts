import { afterEach, describe, expect, it, vi } from 'vitest';
import { control, CONTROLS, isWithout, type Control } from './controls.js';
import { simulate } from './simulate.js';

vi.mock('../../src/infra/crypto/signing.js', async () => {
  const quick = await import('./quick-signing.js');
  const isSignature: typeof quick.isSignature = (...told) => isWithout('signatures') || quick.isSignature(...told);
  return { ...quick, isSignature };
});
vi.mock('../../src/infra/offgrid/protocol/transfer-size.js', () => import('./small-transfers.js'));
vi.mock('../../src/domain/election.js', () => import('./without-election.js'));
vi.mock('../../src/domain/reading.js', () => import('./without-reading.js'));
vi.mock('../../src/domain/replication.js', async () => (await import('./without-protocol.js')).replicationModule);
vi.mock('../../src/infra/offgrid/host/batch-decision.js', () => import('./without-host-rules.js'));
vi.mock('../../src/infra/offgrid/protocol/tree.js', async () => (await import('./without-protocol.js')).treeModule);
vi.mock(
  '../../src/infra/offgrid/protocol/events-answer.js',
  async () => (await import('./without-protocol.js')).eventsAnswerModule,
);

/** All controls, and not just the quick ones: SIMULATION_CONTROLS=all; or the names of some. */
const WANTED = process.env['SIMULATION_CONTROLS'];
/** Within so many seeds a control must be found; the slow ones may take more. */
const SEEDS = Number(process.env['SIMULATION_CONTROL_SEEDS'] ?? (WANTED === undefined ? 60 : 1_500));

const names = (Object.keys(CONTROLS) as Control[]).filter((name) =>
  WANTED === undefined ? CONTROLS[name].isQuick : WANTED === 'all' || WANTED.split(',').includes(name),
);

describe('the simulation misses', () => {
  afterEach(() => {
    control.without = undefined;
  });

  it.each(names)('%s', { timeout: 60_000 + SEEDS * 1_000 }, async (name) => {
    control.without = name;
    let found: string | undefined;
    let seed = 0;
    while (found === undefined && seed < SEEDS) {
      seed += 1;
      found = (await simulate(seed, { family: CONTROLS[name].family })).failure;
      await new Promise((resolve) => setImmediate(resolve));
    }
    console.log(`without ${name}: seed ${seed}: ${found?.slice(0, 200) ?? 'nothing is found'}`);
    expect(found, `nothing goes wrong in ${SEEDS} seeds without ${name}`).toBeDefined();
    // With it, nothing does: it is this that was missed.
    control.without = undefined;
    expect((await simulate(seed, { family: CONTROLS[name].family })).failure).toBeUndefined();
  });
});
