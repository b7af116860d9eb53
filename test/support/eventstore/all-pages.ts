import { compare, type Position } from './position.js';
import type { StoredRecord } from './record.js';
import type { Store } from './store.js';

/** A position in the middle of a record. */
export class InvalidPosition extends Error {}

export interface Page {
  /** Those the filter lets through. */
  readonly records: readonly StoredRecord[];
  /** Where the page begins, and where the next does. */
  readonly current: Position;
  readonly next: Position;
  /** How many records were looked at. */
  readonly considered: number;
  readonly isEnd: boolean;
}

export interface PageLimits {
  readonly maxCount: number;
  readonly searchWindow?: number;
  readonly allows?: (record: StoredRecord) => boolean;
}

/**
 * Reads `$all` from a position on; a record there is the first.
 * @throws InvalidPosition where the position is in the middle of a record
 */
export function readForwards(store: Store, current: Position, limits: PageLimits): Page {
  checkPosition(store, current);
  const { maxCount, searchWindow = Infinity, allows } = limits;
  const records: StoredRecord[] = [];
  let next = current;
  let considered = 0;
  let index = store.indexFrom(current.commit);
  // The second number decides whether a record just there is after the position.
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
 * @throws InvalidPosition where the position is in the middle of a record
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
