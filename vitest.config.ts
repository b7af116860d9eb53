import { defineConfig } from 'vitest/config';
import { LaneTimes } from './test/support/lane-times.js';
import { NotRun } from './test/support/not-run.js';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * The lanes of the tests. Unit: what needs no build, no server and no process; all of it in seconds. Process: what starts the built
 * program, and kills it. Integration: the rest, with real files, sockets and servers in one process. Simulation: many histories.
 */
const UNIT = [
  'test/{docs,style}.test.ts',
  'test/{domain,projections}/**/*.test.ts',
  'test/infra/{http-kit,platform,readmodels,services}/**/*.test.ts',
  // The keyring is a real file, under a key that takes long to derive.
  'test/infra/crypto/**/!(keyring-file).test.ts',
  'test/infra/app/config.test.ts',
  'test/infra/offgrid/protocol/**/*.test.ts',
];
const PROCESS = [
  'test/{e2e,golden,model}/**/*.test.ts',
  'test/infra/cli/**/*.test.ts',
  'test/infra/transfer/**/*.test.ts',
  'test/infra/eventlog/embedded/sharing.test.ts',
  'test/infra/offgrid/host/crash.test.ts',
];
const CRASH = ['test/crash/**/*.test.ts'];
const SIMULATION = ['test/simulation/**/*.test.ts'];

/** Files that take minutes, and then those that start processes, come first: nobody waits at the end for one of them alone. */
const LONGEST = [
  '/test/crash/',
  '/test/simulation/campaign',
  '/test/e2e/eventstore/drops',
  '/test/e2e/subscriptions',
  '/test/e2e/',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((part) => moduleId.includes(part));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

// One seed for all processes of a run: test/support/seed.ts.
if (process.env['TEST_SEED'] === 'random') process.env['TEST_SEED'] = String(Date.now() % 1_000_000);
if (process.env['TEST_SEED'] !== undefined) console.log(`TEST_SEED=${process.env['TEST_SEED']}`);

export default defineConfig({
  resolve: {
    // TypeGraphQL is CommonJS: without this, tests and TypeGraphQL would each load a graphql of their own.
    alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }],
  },
  test: {
    environment: 'node',
    // Files of a lane share processes, for to load what they need takes longer than to run them: what one leaves behind, the next
    // finds. Those that put something in the place of a module, or kill, have a process each.
    projects: [
      { extends: true, test: { name: 'unit', include: UNIT, isolate: false } },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: [...UNIT, ...PROCESS, ...CRASH, ...SIMULATION],
          isolate: false,
        },
      },
      { extends: true, test: { name: 'process', include: PROCESS, isolate: false } },
      { extends: true, test: { name: 'crash', include: CRASH } },
      { extends: true, test: { name: 'simulation', include: SIMULATION } },
    ],
    setupFiles: ['test/support/set-up.ts'],
    pool: 'forks',
    maxWorkers: 5,
    // Less is collected while it is still needed: it saves a twentieth of what the simulation takes.
    execArgv: ['--max-semi-space-size=64'],
    sequence: { sequencer: LongestFirst },
    // A machine with other things to do takes its time; who waits for nothing to come says how long.
    expect: { poll: { timeout: 15_000 } },
    testTimeout: 300_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    reporters: ['default', new LaneTimes(), new NotRun(), ...(process.env['CI'] ? ['json'] : [])],
    outputFile: { json: '.ci/test-results.json' },
  },
});
