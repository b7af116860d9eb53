/**
 * One caller, one append at a time, compared with the limit of the disk: single autocommit inserts of the same rows into the
 * same table with the same pragmas (WAL, synchronous=FULL), through a prepared statement of the `sqlite3` package.
 */
import { appendRate, rawRate } from './support/append.js';
import { perSecondText, result, Rounds, setting } from './support/measure.js';
import { prepareEvents } from './support/rows.js';

const FLOOR = 0.8;
const events = prepareEvents(setting('BENCH_EVENTS', 1_500), 100);
const rows = events.map(({ row }) => row);

const rounds = await Rounds.run(setting('BENCH_ROUNDS', 11), {
  ours: () => appendRate(events, 1),
  raw: () =>
    rawRate(rows, async (database, values) => {
      const insert = database.prepare('INSERT INTO events_1 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
      for (const row of values) await insert.run(row);
    }),
});

const figures = `${perSecondText(rounds.median('ours'))} against ${perSecondText(rounds.median('raw'))} raw`;
result('append-one', rounds.ratio('ours', 'raw'), { floor: FLOOR }, figures);
