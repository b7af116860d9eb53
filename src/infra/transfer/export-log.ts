import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { RecordedEvent } from '../../domain/event.js';
import { LogError } from '../eventlog/errors.js';
import type { EventLog, ReadAllOptions } from '../eventlog/eventlog.js';
import { toLine } from './exported-event.js';

/** How many events are read singly after damage, which is as many as a page has, so that only damaged events are skipped. */
const STEPS_AFTER_DAMAGE = 1_000;

/** Receives the progress and the damaged events of an export. */
export interface ExportListener {
  readonly onProgress: (position: bigint, head: bigint) => void;
  /** Called when a damaged event is skipped. Without this function, damage ends the export. */
  readonly onDamaged?: (error: LogError) => void;
}

/**
 * Writes the events of a log as NDJSON, one event per line, in order.
 * @param part which events; all by default
 * @returns the number of events written
 * @throws LogError LOG_CORRUPT without `onDamaged`; any other failure of the log
 */
export async function exportLog(
  log: EventLog,
  output: Writable,
  listener: ExportListener,
  part: Pick<ReadAllOptions, 'after' | 'filter'> = {},
): Promise<number> {
  const head = await log.head();
  let count = 0;
  for await (const event of readAround(log, head, part, listener.onDamaged)) {
    if (!output.write(`${toLine(event)}\n`)) await once(output, 'drain');
    count += 1;
    listener.onProgress(event.position, head);
  }
  return count;
}

/** Reads the events of a part of a log, and skips damaged ones. */
async function* readAround(
  log: EventLog,
  head: bigint,
  part: Pick<ReadAllOptions, 'after' | 'filter'>,
  onDamaged: ((error: LogError) => void) | undefined,
): AsyncIterable<RecordedEvent> {
  let after = part.after ?? 0n;
  let steps = 0;
  let reported = '';
  while (after < head) {
    try {
      const from = after;
      for await (const event of log.readAll(steps > 0 ? { ...part, after, limit: 1 } : { ...part, after })) {
        yield event;
        after = event.position;
      }
      if (steps === 0 || after === from) return;
      steps -= 1;
    } catch (error) {
      if (!(error instanceof LogError) || error.code !== 'LOG_CORRUPT' || onDamaged === undefined) throw error;
      if (steps > 0) {
        // A read that starts at an emptied row before a damaged one reports the same damage again.
        if (error.message !== reported) onDamaged(error);
        reported = error.message;
        after += 1n;
      }
      steps = STEPS_AFTER_DAMAGE;
    }
  }
}
