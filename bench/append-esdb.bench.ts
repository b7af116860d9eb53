/**
 * Appends to a server, compared with its bare client: the same events, at the same revisions, to a stand-in for an
 * EventStoreDB server in a process of its own. A hundred callers, each on its own stream, then a single caller. Each run
 * has a new stand-in, because a stand-in keeps everything.
 */
import { bareAppendRate, serverAppendRate } from './support/append-esdb.js';
import { perSecondText, result, Rounds, setting } from './support/measure.js';
import { prepareEvents } from './support/rows.js';

const FLOOR = 0.9;
const CALLERS = 100;
/** A single caller appends a tenth as many. */
const ONE_CALLER_SHARE = 10;
const count = setting('BENCH_EVENTS', 20_000);

for (const [name, events, callers] of [
  ['append-esdb', count, CALLERS],
  ['append-esdb-one', Math.ceil(count / ONE_CALLER_SHARE), 1],
] as const) {
  const prepared = prepareEvents(events, callers);
  const rounds = await Rounds.run(setting('BENCH_ROUNDS', 11), {
    ours: () => serverAppendRate(prepared, callers),
    bare: () => bareAppendRate(prepared, callers),
  });
  const figures = `${perSecondText(rounds.median('ours'))} against ${perSecondText(rounds.median('bare'))} by the bare client`;
  result(name, rounds.ratio('ours', 'bare'), { floor: FLOOR }, figures);
}
