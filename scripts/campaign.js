// Runs many seeds of the simulation: `npm run campaign -- --seeds 200000`. Without the test runner, a seed takes a fifth less of
// the processor. The output of each thousand seeds is a file, in a folder that is named after the code that ran: a campaign that
// was interrupted continues where it was.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { rolldown } from 'rolldown';

/** The seeds of one process. */
const CHUNK = 1_000;
/** What takes the place of a module, as `vi.mock` does in the tests. */
const STAND_INS = new Map([
  [resolve('src/infra/crypto/signing.ts'), resolve('test/simulation/quick-signing.ts')],
  [resolve('src/infra/offgrid/protocol/transfer-size.ts'), resolve('test/simulation/small-transfers.ts')],
]);

const { values } = parseArgs({
  options: {
    first: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '20000' },
    processes: { type: 'string', default: String(availableParallelism()) },
    family: { type: 'string', default: '' },
    folder: { type: 'string', default: '.campaign' },
  },
});
const [first, seeds, processes] = ['first', 'seeds', 'processes'].map((name) => {
  if (!/^[1-9]\d{0,8}$/.test(values[name]))
    throw new Error(`--${name} must be a positive integer, not ${values[name]}`);
  return Number(values[name]);
});

const code = await bundle();
const folder = join(values.folder, createHash('sha256').update(code).digest('hex').slice(0, 12));
await mkdir(folder, { recursive: true });
const program = join(folder, 'campaign.mjs');
await writeFile(program, code);

const waiting = [];
for (let at = first; at < first + seeds; at += CHUNK) waiting.push({ at, count: Math.min(CHUNK, first + seeds - at) });
const chunks = waiting.length;
const begun = performance.now();
const done = { seeds: 0, ran: 0, wrong: 0, processorMs: 0 };
const sums = new Map();
await Promise.all(Array.from({ length: processes }, work));
for (const [family, counts] of [...sums].sort(([a], [b]) => (a < b ? -1 : 1)))
  console.log(`${family}: ${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}`);
console.log(`1,000 seeds: ${Math.round(done.processorMs / done.seeds)} s of the processor`);
console.log(`${done.seeds} seeds, ${done.wrong} of ${chunks} processes failed; their output is in ${folder}`);
process.exitCode = done.wrong === 0 ? 0 : 1;

/** Bundles the simulation into one module; returns its code. */
async function bundle() {
  const standIns = {
    name: 'stand-ins',
    resolveId(source, importer) {
      if (source.startsWith('actual:')) return sourceOf(source.slice('actual:'.length), importer);
      return (source.startsWith('.') && importer && STAND_INS.get(sourceOf(source, importer))) || null;
    },
    // A stand-in asks the test runner for the module in whose place it is.
    transform(text, id) {
      if (![...STAND_INS.values()].includes(id)) return null;
      return text
        .replace(/^import \{ vi \} from 'vitest';\n/m, '')
        .replaceAll(/vi\.importActual<[^>]+>\('/g, "import('actual:");
    },
  };
  const bundled = await rolldown({
    input: 'test/simulation/campaign.ts',
    platform: 'node',
    external: [/^node:/, 'sqlite3'],
    tsconfig: 'tsconfig.json',
    plugins: [standIns],
  });
  const { output } = await bundled.generate({ format: 'esm', codeSplitting: false });
  await bundled.close();
  return output[0].code;
}

function sourceOf(path, importer) {
  return resolve(dirname(importer), path).replace(/\.js$/, '.ts');
}

/** Runs chunks until none is left. */
async function work() {
  for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
    const file = join(folder, `${chunk.at}-${chunk.count}${values.family}.txt`);
    const isNew = !(await access(file).then(
      () => true,
      () => false,
    ));
    if (isNew && !(await run(chunk, file))) done.wrong += 1;
    if (isNew) done.ran += chunk.count;
    done.seeds += chunk.count;
    add(await readFile(file, 'utf8').catch(() => ''), chunk);
    const left = ((performance.now() - begun) / Math.max(1, done.ran)) * (seeds - done.seeds);
    if (isNew)
      console.log(
        `${done.seeds} of ${seeds} seeds, ${done.wrong} failures, about ${Math.ceil(left / 60_000)} min left`,
      );
  }
}

/** Runs the seeds of a chunk; its output becomes the file only if all of them succeed. */
async function run({ at, count }, file) {
  const unfinished = `${file}.unfinished`;
  const output = await open(unfinished, 'w');
  const args = ['--max-semi-space-size=64', program, String(at), String(count), values.family];
  const child = spawn(process.execPath, args, { stdio: ['ignore', output.fd, output.fd] });
  const status = await new Promise((ended) => child.once('close', ended));
  await output.close();
  if (status === 0) await rename(unfinished, file);
  else console.log(`${await readFile(unfinished, 'utf8')}\nThis is in ${unfinished}.`);
  return status === 0;
}

/** Adds the time and the counts of a chunk; the counts are printed by family. */
function add(text, { count }) {
  done.processorMs += (count / 1_000) * Number(/(\d+) of the processor$/m.exec(text)?.[1] ?? 0);
  for (const [, family, words] of text.matchAll(/^(F\w+): (.*)$/gm)) {
    const counts = sums.get(family) ?? new Map();
    sums.set(family, counts);
    for (const word of words.split(', ')) {
      const [name, count] = word.split(' ');
      const before = counts.get(name) ?? 0;
      counts.set(name, name === 'maxEpoch' ? Math.max(before, Number(count)) : before + Number(count));
    }
  }
}
