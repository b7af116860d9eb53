import { BATCH, type HandData, type HandEvent, type HandMetadata } from './by-hand.js';
import type { RawDatabase } from './raw.js';

interface LogRow {
  readonly position: number;
  readonly revision: number;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

/** The events of a log file, read by the `sqlite3` package alone: the next while those before are used. */
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

/** One at a time, when it is folded: so none of them grows old. */
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
