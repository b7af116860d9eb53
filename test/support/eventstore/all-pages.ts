import { compare, type Position } from './position.js';
import type { StoredRecord } from './record.js';
import type { Store } from './store.js';

/** The error for a position inside a record. */
export class InvalidPosition extends Error {}

export interface Page {
  /** The records that the filter lets through. */
  readonly records: readonly StoredRecord[];
  /** The position at which the page begins, and the one at which the next begins. */
  readonly current: Position;
  readonly next: Position;
  /** How many records were examined. */
  readonly considered: number;
  readonly isEnd: boolean;
}

export interface PageLimits {
  readonly maxCount: number;
  readonly searchWindow?: number;
  readonly allows?: (record: StoredRecord) => boolean;
}

/**
 * Reads `$all` from a position on; a record at that position is the first.
 * @throws InvalidPosition where the position is inside a record
 */
export function readForwards(store: Store, current: Position, limits: PageLimits): Page {
  checkPosition(store, current);
  const { maxCount, searchWindow = Infinity, allows } = limits;
  const records: StoredRecord[] = [];
  let next = current;
  let considered = 0;
  let index = store.indexFrom(current.commit);
  // The second number decides whether a record at exactly this position is after it.
  if (store.events[index]?.position === current.commit && current.prepare > current.commit) index += 1;
  while (records.length < maxCount && considered < searchWindow) {
    const record = store.events[index];
    if (record === undefined) return { records, current, next, considered, isEnd: true };
    index += 1;
    considered += 1;
    if (allows === undefined || allows(record)) records.push(record);
    next = { commit: record.end, prepare: 0n };
  }
  return { records, current, next, considered, isEnd: false };
}

/**
 * Reads `$all` backwards: a record is before a position if it ends there or earlier.
 * @throws InvalidPosition where the position is inside a record
 */
export function readBackwards(store: Store, current: Position, limits: PageLimits): Page {
  checkPosition(store, current);
  const { maxCount, searchWindow = Infinity, allows } = limits;
  const records: StoredRecord[] = [];
  let next = current;
  let considered = 0;
  let index = store.indexFrom(current.commit) - 1;
  while (records.length < maxCount && considered < searchWindow) {
    const record = store.events[index];
    if (record === undefined) return { records, current, next, considered, isEnd: true };
    index -= 1;
    if (compare({ commit: record.end, prepare: record.end }, current) > 0) continue;
    considered += 1;
    if (allows === undefined || allows(record)) records.push(record);
    next = { commit: record.position, prepare: record.position };
  }
  return { records, current, next, considered, isEnd: false };
}

function checkPosition(store: Store, { commit }: Position): void {
  if (store.isWithinRecord(commit)) throw new InvalidPosition(`there is no record at ${commit.toString()}`);
}
