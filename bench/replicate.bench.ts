/**
 * A core that starts with 100,000 events in its log and its read models, and none on a host, ships them to two hosts, each
 * in a process of its own on this machine, until a quorum (both) has signed for all. It is compared with each stage alone:
 * reading the log, making envelopes of events, and the two hosts accepting batches that were made before; the ratio is to
 * the slowest of these. The rate of one host that has the machine to itself is printed as well. `replicate-memory-growth`
 * is the core's peak memory with 100,000 events behind, compared with 10,000.
 */
import { median, perSecondText, result, setting } from './support/measure.js';
import { Replicated, type Round } from './support/replicate.js';
import { inScratch } from './support/scratch.js';

const FLOOR = 0.65;
const GROWTH_CEILING = 1.3;
const EVENTS = setting('BENCH_REPLICATE_EVENTS', 100_000);
const ROUNDS = setting('BENCH_ROUNDS', 7);

await inScratch(async (folder) => {
  const all = await Replicated.prepare(folder, EVENTS);
  const few = await Replicated.prepare(folder, Math.ceil(EVENTS / 10));
  const rounds: Round[] = [];
  const growths: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const run = await all.run(round);
    rounds.push(run);
    growths.push(run.peakMiB / (await few.peakMiB()));
  }
  const of = (name: 'ours' | 'read' | 'seal' | 'host' | 'hosts') => median(rounds.map((run) => run[name]));
  const ratio = median(rounds.map(({ ours, read, seal, hosts }) => ours / Math.min(read, seal, hosts)));
  const megabytes = (of('ours') * all.sealedBytes) / EVENTS / 1e6;
  const stages = `read ${perSecondText(of('read'))}, seal ${perSecondText(of('seal'))}, two hosts ${perSecondText(of('hosts'))}; one host ${perSecondText(of('host'))}`;
  result(
    'replicate',
    ratio,
    { floor: FLOOR },
    `${perSecondText(of('ours'))}, ${megabytes.toFixed(1)} MB/s to each host; alone: ${stages}`,
  );
  const peak = median(rounds.map(({ peakMiB }) => peakMiB));
  result(
    'replicate-memory-growth',
    median(growths),
    { ceiling: GROWTH_CEILING },
    `peak ${peak.toFixed(0)} MiB with ${EVENTS} events behind`,
  );
});
