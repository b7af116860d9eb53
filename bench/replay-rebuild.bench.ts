/**
 * Replays a generated log into `missions.db` three ways, each run in a process of its own: by the projector following the
 * log (`replay`), by its rebuild (`rebuild`), and by hand, which is the limit: code written for these tables alone. All
 * read the same log and must end with the same rows. Rounds are on BENCH_REPLAY_EVENTS events; one more is on
 * BENCH_EVENTS, for how rates and memory grow.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { writeHistory } from './support/history.js';
import { median, perSecondText, progress, result, Rounds, setting } from './support/measure.js';
import { inScratch } from './support/scratch.js';

const REPLAY_FLOOR = 0.75;
const REBUILD_FLOOR = 1.3;
const PEAK_MIB = 300;
const PEAK_GROWTH = 1.3;

type Kind = 'ours' | 'by-hand' | 'rebuild';

interface ReplayRun {
  readonly events: number;
  readonly rate: number;
  readonly peakMiB: number;
  readonly digest: string;
}

const peaks: Record<Kind, number[]> = { ours: [], 'by-hand': [], rebuild: [] };
const program = fileURLToPath(new URL('./support/replay-run.js', import.meta.url));

function replayOnce(kind: Kind, log: string, digest: boolean): Promise<ReplayRun> {
  return inScratch(async (folder) => {
    const args = [program, kind, log, folder, digest ? 'digest' : 'no-digest'];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return JSON.parse(stdout) as ReplayRun;
  });
}

async function assertSameRows(log: string): Promise<void> {
  const digests = [];
  for (const kind of ['ours', 'by-hand', 'rebuild'] as const) digests.push((await replayOnce(kind, log, true)).digest);
  if (new Set(digests).size !== 1) throw new Error(`the rows differ: ${digests.join(', ')}`);
  progress('the three ways lead to the same rows');
}

async function measured(kind: Kind, log: string): Promise<number> {
  const { rate, peakMiB } = await replayOnce(kind, log, false);
  peaks[kind].push(peakMiB);
  return rate;
}

function report(rounds: Rounds, events: number, suffix: string): void {
  const hand = `${perSecondText(rounds.median('by-hand'))} by hand, ${events.toLocaleString('en')} events`;
  const replay = perSecondText(rounds.median('ours'));
  const rebuild = perSecondText(rounds.median('rebuild'));
  result(`replay${suffix}`, rounds.ratio('ours', 'by-hand'), { floor: REPLAY_FLOOR }, `${replay} against ${hand}`);
  result(
    `rebuild${suffix}`,
    rounds.ratio('rebuild', 'ours'),
    { floor: REBUILD_FLOOR },
    `${rebuild} against ${replay} live`,
  );
}

function reportMemory(kind: Kind, name: string, small: number): void {
  const large = peaks[kind].at(-1) ?? Number.NaN;
  const figures = `${large.toFixed(0)} MiB at most, ${small.toFixed(0)} MiB with the smaller log`;
  result(`${name}-memory`, large / PEAK_MIB, { ceiling: 1 }, figures);
  result(`${name}-memory-growth`, large / small, { ceiling: PEAK_GROWTH }, figures);
}

await inScratch(async (folder) => {
  const contestants = (log: string) => ({
    ours: () => measured('ours', log),
    'by-hand': () => measured('by-hand', log),
    rebuild: () => measured('rebuild', log),
  });
  const small = join(folder, 'small.db');
  const smallEvents = await writeHistory(small, setting('BENCH_REPLAY_EVENTS', 100_000));
  await assertSameRows(small);
  report(await Rounds.run(setting('BENCH_ROUNDS', 7), contestants(small)), smallEvents, '');
  const smallPeaks = { ours: median(peaks.ours), rebuild: median(peaks.rebuild) };

  const large = join(folder, 'large.db');
  const largeEvents = await writeHistory(large, setting('BENCH_EVENTS', 1_000_000));
  report(await Rounds.run(1, contestants(large)), largeEvents, '-long');
  reportMemory('ours', 'replay', smallPeaks.ours);
  reportMemory('rebuild', 'rebuild', smallPeaks.rebuild);
});
