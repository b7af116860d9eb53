import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { RecordedEvent } from '../../domain/event.js';
import { LogError } from '../eventlog/errors.js';
import type { EventLog, ReadAllOptions } from '../eventlog/eventlog.js';
import { toLine } from './exported-event.js';

/** After damage, events are read one by one for as long as a page, so that only what is damaged is left out. */
const STEPS_AFTER_DAMAGE = 1_000;

/** How an export gets on, and what it met. */
export interface ExportListener {
  readonly onProgress: (position: bigint, head: bigint) => void;
  /** A damaged event was left out. When this is not given, damage ends the export. */
  readonly onDamaged?: (error: LogError) => void;
}

/**
 * Writes a log as NDJSON, an event a line, in order. Returns how many.
 * @param part which events; all unless given
 * @throws LogError LOG_CORRUPT
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

/** The events of a part, passing around those that are damaged. */
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
        // Truncated rows before a damaged one are stepped over too, and meet it again.
        if (error.message !== reported) onDamaged(error);
        reported = error.message;
        after += 1n;
      }
      steps = STEPS_AFTER_DAMAGE;
    }
  }
}
