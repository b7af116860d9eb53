// Runs every bench/*.bench.ts, compiled, each in a process of its own and one at a time, so that they do not share a
// heap, a cache or the disk. `npm run bench -- append` runs those whose name contains "append".
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const wanted = process.argv.slice(2);
const benches = readdirSync('bench', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.bench.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((word) => name.includes(word)))
  .sort();

if (benches.length === 0) {
  console.error('No bench has that name.');
  process.exitCode = 1;
}

for (const bench of benches) {
  console.log(`\n── ${bench.replace(/\.bench\.ts$/, '')}`);
  const compiled = `dist-bench/bench/${bench.replace(/\.ts$/, '.js')}`;
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', compiled], {
    stdio: 'inherit',
    env: { NODE_ENV: 'production', ...process.env },
  });
  if (status !== 0) process.exitCode = 1;
}
