import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it, onTestFinished, vi } from 'vitest';
import { play } from './seeds.js';

vi.mock('../../src/infra/crypto/signing.js', () => import('./quick-signing.js'));
vi.mock('../../src/infra/offgrid/protocol/transfer-size.js', () => import('./small-transfers.js'));

/** How many seeds are run, and the first of them. */
const SEEDS = Number(process.env['SIMULATION_SEEDS'] ?? 2_000);
const FIRST = Number(process.env['SIMULATION_FIRST'] ?? process.env['TEST_SEED'] ?? 1);
/** The time that a seed may take on a busy machine, in milliseconds. */
const SEED_MS = 500;

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-campaign-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** Runs `npm run campaign`; resolves with its exit code and with what it printed, of which it shows each line. */
async function campaign(
  options: Readonly<Record<string, string>>,
  show: (line: string) => void = () => undefined,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(process.execPath, ['scripts/campaign.js', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill());
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    show(line);
    lines.push(line);
  }
  return { code: await ended, output: lines.join('\n') };
}

it(
  'cores, their hosts and those who read back keep every promise',
  { timeout: 120_000 + SEEDS * SEED_MS },
  async () => {
    const seeds = { first: String(FIRST), seeds: String(SEEDS), folder: await newFolder() };
    expect((await campaign(seeds, console.log)).code).toBe(0);
  },
);

it('a campaign has the outcomes of the same seeds in the test runner, and does not run a seed twice', async () => {
  const seeds = { first: '3', seeds: '12', folder: await newFolder() };
  const { tally } = await play({ first: 3, count: 12 });
  const first = await campaign(seeds);
  expect(first.code).toBe(0);
  expect(first.output).toContain(`\n${tally.words()}\n`);
  expect(first.output).toContain('min left');
  const second = await campaign(seeds);
  expect(second.code).toBe(0);
  expect(second.output).toContain(tally.words());
  expect(second.output).not.toContain('min left');
});

it('a campaign prints what a process that failed has printed, and fails', async () => {
  const { code, output } = await campaign({ seeds: '1', family: 'F9', folder: await newFolder() });
  expect(code).toBe(1);
  expect(output).toContain('There is no family F9: name one of F0, F1');
  expect(output).toContain('1 of 1 processes failed');
});
