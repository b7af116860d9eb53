import { isReplicated } from '../../../domain/event.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { eventText } from '../protocol/event-text.js';

/** How a history that was read back compares with a log. */
export interface Comparison {
  /** How many of its first events are the first replicated events of the log. */
  readonly same: number;
  /** The position in the log of the last of these. */
  readonly position: bigint;
  /** Whether the log has a different event next; false when all are the same, or the log has no more. */
  readonly isOther: boolean;
}

/** Compares the first events of a log that was read back with the replicated events of another, one by one. */
export async function compareLogs(
  read: EventLog,
  length: number,
  own: EventLog,
  onProgress: (done: number, of: number) => void,
): Promise<Comparison> {
  const theirs = read.readAll({ limit: length })[Symbol.asyncIterator]();
  let [same, position] = [0, 0n];
  if (length === 0) return { same, position, isOther: false };
  for await (const event of own.readAll()) {
    if (!isReplicated(event)) continue;
    const their = await theirs.next();
    if (their.done === true) break;
    if (eventText(their.value) !== eventText(event)) return { same, position, isOther: true };
    same += 1;
    position = event.position;
    onProgress(same, length);
    if (same === length) break;
  }
  return { same, position, isOther: false };
}
