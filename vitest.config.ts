import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that come one after another in the same processes: to load what they need took longer than to run them. They put nothing in
 * the place of a module, and tear no connections that others might share.
 */
const TOGETHER = [
  'test/{contract,domain,e2e,golden,projections,vectors}/**/*.test.ts',
  'test/infra/**/*.test.ts',
  'test/style.test.ts',
];
/** Files that take minutes, and then those that start processes, come first: nobody waits at the end for one of them alone. */
const LONGEST = ['/test/crash/', '-half.test', '/test/e2e/eventstore/drops', '/test/e2e/subscriptions', '/test/e2e/'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((part) => moduleId.includes(part));
      return found < 0 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  resolve: {
    // TypeGraphQL is CommonJS: without this, tests and TypeGraphQL would each load a graphql of their own.
    alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }],
  },
  test: {
    environment: 'node',
    projects: [
      { extends: true, test: { name: 'whole', include: ['test/**/*.test.ts'], exclude: TOGETHER } },
      { extends: true, test: { name: 'together', include: TOGETHER, isolate: false } },
    ],
    setupFiles: ['test/support/set-up.ts'],
    pool: 'forks',
    maxWorkers: 4,
    // Less is collected while it is still needed: it saves a twentieth of what the simulation takes.
    execArgv: ['--max-semi-space-size=64'],
    sequence: { sequencer: LongestFirst },
    // A machine with other things to do takes its time; who waits for nothing to come says how long.
    expect: { poll: { timeout: 15_000 } },
    testTimeout: 300_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    reporters: process.env['CI'] ? ['default', 'json'] : ['default'],
    outputFile: { json: '.ci/test-results.json' },
  },
});
