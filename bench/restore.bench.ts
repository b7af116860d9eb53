/**
 * 100,000 events of 512 bytes restored from a host in a process of its own on this machine, into a log that is durable at
 * the end; compared with only reading and opening them, from the same host. The read models, which a restore builds
 * afterwards, have their own benches.
 */
import { perSecondText, result, Rounds, setting } from './support/measure.js';
import { Restored } from './support/restore.js';
import { inScratch } from './support/scratch.js';

const FLOOR = 0.6;

await inScratch(async (folder) => {
  await Restored.with(folder, setting('BENCH_RESTORE_EVENTS', 100_000), async (restored) => {
    const rounds = await Rounds.run(setting('BENCH_ROUNDS', 7), {
      ours: () => restored.rate(),
      reading: () => restored.readingRate(),
    });
    const figures = `${perSecondText(rounds.median('ours'))} against ${perSecondText(rounds.median('reading'))} read and opened`;
    result('restore', rounds.ratio('ours', 'reading'), { floor: FLOOR }, figures);
  });
});
