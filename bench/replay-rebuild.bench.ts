/**
 * Replays a generated log into `missions.db` three ways, each run in a process of its own: by the projector following the
 * log (`replay`), by its rebuild (`rebuild`), and by hand, which is the limit: code written for these tables alone. All
 * read the same log and must end with the same rows. Rounds are on BENCH_REPLAY_EVENTS events; one more is on
 * BENCH_EVENTS, to show how rates and memory grow.
 */
import { join } from 'node:path';
import { writeHistory } from './support/history.js';
import { median, perSecondText, result, Rounds, setting } from './support/measure.js';
import { assertSameRows, replayOnce, type ReplayKind, type ReplaySource } from './support/replay.js';
import { inScratch } from './support/scratch.js';

const REPLAY_FLOOR = 0.75;
const REBUILD_FLOOR = 1.3;
const PEAK_MIB = 300;
const PEAK_GROWTH = 1.3;

const KINDS = ['ours', 'by-hand', 'rebuild'] as const;
const peaks: Record<ReplayKind, number[]> = { ours: [], 'by-hand': [], rebuild: [] };

async function measured(kind: ReplayKind, log: ReplaySource): Promise<number> {
  const { rate, peakMiB } = await replayOnce(kind, log);
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

function reportMemory(kind: ReplayKind, name: string, small: number): void {
  const large = peaks[kind].at(-1) ?? Number.NaN;
  const figures = `${large.toFixed(0)} MiB at most, ${small.toFixed(0)} MiB with the smaller log`;
  result(`${name}-memory`, large / PEAK_MIB, { ceiling: 1 }, figures);
  result(`${name}-memory-growth`, large / small, { ceiling: PEAK_GROWTH }, figures);
}

async function logOf(path: string, events: number): Promise<ReplaySource> {
  return { place: path, events: await writeHistory(path, events) };
}

await inScratch(async (folder) => {
  const contestants = (log: ReplaySource) => ({
    ours: () => measured('ours', log),
    'by-hand': () => measured('by-hand', log),
    rebuild: () => measured('rebuild', log),
  });
  const small = await logOf(join(folder, 'small.db'), setting('BENCH_REPLAY_EVENTS', 100_000));
  await assertSameRows(KINDS, small);
  report(await Rounds.run(setting('BENCH_ROUNDS', 7), contestants(small)), small.events, '');
  const smallPeaks = { ours: median(peaks.ours), rebuild: median(peaks.rebuild) };

  const large = await logOf(join(folder, 'large.db'), setting('BENCH_EVENTS', 1_000_000));
  report(await Rounds.run(1, contestants(large)), large.events, '-long');
  reportMemory('ours', 'replay', smallPeaks.ours);
  reportMemory('rebuild', 'rebuild', smallPeaks.rebuild);
});
