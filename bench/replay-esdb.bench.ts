/**
 * Replays a generated history from a server, a stand-in for EventStoreDB, into `missions.db`: by the projector following
 * our log, and by hand, which is the limit: the bare client's subscription, folded and written by code for these tables
 * alone. Each run is in a process of its own, and both must end with the same rows. How memory grows is seen beside a
 * smaller history.
 */
import { median, perSecondText, result, Rounds, setting } from './support/measure.js';
import { assertSameRows, replayOnce, type ReplaySource } from './support/replay.js';
import { withHistory } from './support/seeded.js';

const FLOOR = 0.8;
const PEAK_MIB = 300;
const PEAK_GROWTH = 1.3;
/** The smaller history has a fifth as many events. */
const SMALLER_SHARE = 5;
const SMALLER_RUNS = 3;
const count = setting('BENCH_REPLAY_EVENTS', 100_000);

async function peakMiB(log: ReplaySource): Promise<number> {
  const peaks: number[] = [];
  for (let i = 0; i < SMALLER_RUNS; i += 1) peaks.push((await replayOnce('ours', log)).peakMiB);
  return median(peaks);
}

const smaller = await withHistory(Math.ceil(count / SMALLER_SHARE), peakMiB);

await withHistory(count, async (log) => {
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
  const peak = median(peaks);
  const memory = `${peak.toFixed(0)} MiB at most, ${smaller.toFixed(0)} MiB with the smaller history`;
  result('replay-esdb-memory', Math.max(...peaks) / PEAK_MIB, { ceiling: 1 }, memory);
  result('replay-esdb-memory-growth', peak / smaller, { ceiling: PEAK_GROWTH }, memory);
});
