import { expect, it, vi } from 'vitest';
import { simulate } from './world.js';

vi.mock('../../src/infra/crypto/signing.js', () => import('./quick-signing.js'));

/** How many seeds, and the first. */
const SEEDS = Number(process.env['SIMULATION_SEEDS'] ?? 250);
const FIRST = Number(process.env['SIMULATION_SEED'] ?? Date.now() % 1_000_000_000);
/** What a seed may take on a machine that does much else, in milliseconds. */
const SEED_MS = 500;
/** Lines of the trace of a failing seed that are shown. */
const SHOWN_LINES = 100;

it(
  `a core, its hosts and what is between them keep every promise in seeds ${FIRST} to ${FIRST + SEEDS - 1}`,
  { timeout: 60_000 + SEEDS * SEED_MS },
  async () => {
    let atRest = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
      const { failure, trace, ending } = await simulate(seed);
      if (failure !== undefined) {
        const replay = `SIMULATION_SEED=${seed} SIMULATION_SEEDS=1 npx vitest run test/simulation`;
        expect.fail(`seed ${seed}: ${failure}\nAgain: ${replay}\n${trace.slice(-SHOWN_LINES).join('\n')}`);
      }
      if (ending === 'COME_TO_REST') atRest += 1;
      // The runner wants to hear from its worker.
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Seeds that end otherwise prove less: most must come to rest.
    if (SEEDS >= 100) expect(atRest / SEEDS).toBeGreaterThan(0.7);
  },
);
