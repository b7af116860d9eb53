import { BATCH, type HandData, type HandEvent, type HandMetadata } from './by-hand.js';
import type { RawDatabase } from './raw.js';

interface LogRow {
  readonly position: number;
  readonly revision: number;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

/** The events of a log file, read with only the `sqlite3` package: the next batch is read while the previous one is used. */
export async function* eventsOfFile(log: RawDatabase): AsyncGenerator<Iterable<HandEvent>> {
  const page = log.prepare(
    'SELECT position, revision, type, data, metadata FROM events WHERE position > ? ORDER BY position LIMIT ?',
  );
  let reading = page.all<LogRow>([0, BATCH]);
  for (;;) {
    const rows = await reading;
    const last = rows.at(-1);
    if (last === undefined) return;
    reading = page.all<LogRow>([last.position, BATCH]);
    yield parsed(rows);
  }
}

/** One event at a time, when it is folded, so that the garbage collector promotes none. */
function* parsed(rows: readonly LogRow[]): Generator<HandEvent> {
  for (const { position, revision, type, data, metadata } of rows) {
    yield {
      position,
      revision,
      type,
      data: JSON.parse(data) as HandData,
      metadata: JSON.parse(metadata) as HandMetadata,
    };
  }
}
