/**
 * Replays a generated history from a server, a stand-in for EventStoreDB, into `missions.db`: by the projector following
 * our log, and by hand, which is the limit: the bare client's subscription, folded and written by code for these tables
 * alone. Each run is in a process of its own, and both must end with the same rows.
 *
 * The growth of memory is measured with a longer history. A shorter one shows little: up to about 50,000 events, what grows
 * is garbage that V8 has not collected, by hand as well. That growth is printed too.
 */
import { median, perSecondText, result, Rounds, setting } from './support/measure.js';
import { assertSameRows, replayOnce, type ReplaySource } from './support/replay.js';
import { withHistory } from './support/seeded.js';

const FLOOR = 0.8;
const PEAK_MIB = 300;
const PEAK_GROWTH = 1.3;
/** A fifth as many events, and three times as many. */
const SHORTER = 1 / 5;
const LONGER = 3;
/** How many runs there are on each of those. */
const MEMORY_RUNS = 3;
const count = setting('BENCH_REPLAY_EVENTS', 100_000);

async function peakMiB(log: ReplaySource): Promise<number> {
  const peaks: number[] = [];
  for (let i = 0; i < MEMORY_RUNS; i += 1) peaks.push((await replayOnce('ours', log)).peakMiB);
  return median(peaks);
}

/** Returns the peaks of the rounds. */
async function compare(log: ReplaySource): Promise<number[]> {
  await assertSameRows(['ours', 'by-hand'], log);
  const peaks: number[] = [];
  const rounds = await Rounds.run(setting('BENCH_ROUNDS', 7), {
    ours: async () => {
      const run = await replayOnce('ours', log);
      peaks.push(run.peakMiB);
      return run.rate;
    },
    'by-hand': async () => (await replayOnce('by-hand', log)).rate,
  });
  const hand = `${perSecondText(rounds.median('by-hand'))} by hand, ${log.events.toLocaleString('en')} events`;
  const figures = `${perSecondText(rounds.median('ours'))} against ${hand}`;
  result('replay-esdb', rounds.ratio('ours', 'by-hand'), { floor: FLOOR }, figures);
  return peaks;
}

const peaks = await withHistory(count, compare);
const peak = median(peaks);
const shorter = await withHistory(Math.ceil(count * SHORTER), peakMiB);
const longer = await withHistory(count * LONGER, peakMiB);
const figures = `${shorter.toFixed(0)}, ${peak.toFixed(0)} and ${longer.toFixed(0)} MiB with ${[SHORTER, 1, LONGER]
  .map((share) => Math.ceil(count * share).toLocaleString('en'))
  .join(', ')} events`;
result('replay-esdb-memory', Math.max(...peaks, longer) / PEAK_MIB, { ceiling: 1 }, figures);
result('replay-esdb-memory-growth', longer / peak, { ceiling: PEAK_GROWTH }, figures);
