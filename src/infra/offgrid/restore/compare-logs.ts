import { isReplicated } from '../../../domain/event.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { eventText } from '../protocol/event-text.js';

/** How a history that was read back stands to a log. */
export interface Comparison {
  /** How many of its first events are the first replicated events of the log. */
  readonly same: number;
  /** Where the last of these lies in the log. */
  readonly position: bigint;
  /** Whether the log has another event next; when all are the same, or it has no more, it has not. */
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
