/**
 * A hundred callers, each on its own stream, compared with raw batched inserts of the same rows into the same table with
 * the same pragmas (WAL, synchronous=FULL), through a prepared statement of the `sqlite3` package. The raw side uses the
 * fastest form found: rows as one JSON parameter through `jsonb_each`, in batches of 50 as the log groups them; the next
 * batch is serialized while one commits.
 */
import { appendRate, rawRate } from './support/append.js';
import { perSecondText, result, Rounds, setting } from './support/measure.js';
import { prepareEvents } from './support/rows.js';

const FLOOR = 0.75;
const CALLERS = 100;
const RAW_BATCH = 50;
const events = prepareEvents(setting('BENCH_EVENTS', 20_000), CALLERS);
const rows = events.map(({ row }) => row);

const rounds = await Rounds.run(setting('BENCH_ROUNDS', 11), {
  ours: () => appendRate(events, CALLERS),
  raw: () =>
    rawRate(rows, async (database, values) => {
      const fields = Array.from({ length: 10 }, (_, i) => `value->>${i}`).join(', ');
      const insert = database.prepare(`INSERT INTO events_1 SELECT ${fields} FROM jsonb_each(?)`);
      let inserting = Promise.resolve();
      for (let i = 0; i < values.length; i += RAW_BATCH) {
        const batch = JSON.stringify(values.slice(i, i + RAW_BATCH));
        await inserting;
        inserting = insert.run([batch]);
      }
      await inserting;
    }),
});

const figures = `${perSecondText(rounds.median('ours'))} against ${perSecondText(rounds.median('raw'))} raw`;
result('append-many', rounds.ratio('ours', 'raw'), { floor: FLOOR }, figures);
