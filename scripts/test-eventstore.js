// Runs the tests that apply to any log against the server that SHERATAN_EVENTSTORE_URL names: the contract suite, the crash test,
// and the end-to-end tests that do not read the files of the embedded log.
import { spawnSync } from 'node:child_process';

const url = process.env.SHERATAN_EVENTSTORE_URL ?? '';
if (url === '') {
  console.error(
    "Set SHERATAN_EVENTSTORE_URL to the server to test against, such as 'esdb://127.0.0.1:2113?tls=false'; docs/eventstore.md shows\n" +
      'how to start one. Each test uses its own streams there. `npm test` needs no server: it has a stand-in.',
  );
  process.exit(2);
}
const shown = url.replace(/\/\/[^@/]*@/, '//').replace(/\?.*/, '');
console.log(`Tests run against ${shown}; the contract suite runs on the embedded log as well.`);
const suites = ['test/contract', 'test/crash', 'test/e2e/eventstore', 'test/e2e/subscriptions', 'test/e2e/up'];
const { status } = spawnSync('npx', ['vitest', 'run', ...suites, ...process.argv.slice(2)], { stdio: 'inherit' });
process.exit(status ?? 1);
