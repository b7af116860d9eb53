import { join } from 'node:path';
import { systemClock } from '../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../src/infra/eventlog/embedded/embedded-log.js';
import type { EventRow } from '../../src/infra/eventlog/embedded/event-row.js';
import { inTurns } from './callers.js';
import { perSecond } from './measure.js';
import { RawDatabase } from './raw.js';
import type { Prepared } from './rows.js';
import { inScratch } from './scratch.js';

/** How many events per second a new log takes from `callers` callers, each waiting for an answer before its next append. */
export function appendRate(events: readonly Prepared[], callers: number): Promise<number> {
  return inScratch(async (folder) => {
    const log = await EmbeddedLog.open(join(folder, 'log.db'), systemClock);
    const append = ({ stream, event, revision }: Prepared) =>
      log.append(stream, [event], revision === 0 ? 'no-stream' : BigInt(revision - 1));
    try {
      return await perSecond(events.length, () => inTurns(events, callers, append));
    } finally {
      await log.close();
    }
  });
}

/** How many rows per second `work` writes into a file that EmbeddedLog made, with the log's pragmas. */
export function rawRate(
  rows: readonly EventRow[],
  work: (database: RawDatabase, values: readonly (readonly unknown[])[]) => Promise<void>,
): Promise<number> {
  return inScratch(async (folder) => {
    const path = join(folder, 'log.db');
    await (await EmbeddedLog.open(path, systemClock)).close();
    const database = await RawDatabase.open(path);
    await database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000');
    const values = rows.map((row) => Object.values(row) as unknown[]);
    try {
      return await perSecond(rows.length, () => work(database, values));
    } finally {
      await database.close();
    }
  });
}
