/**
 * Whether an append may be written: the decision of the server's `IndexWriter.CheckCommit`.
 *
 * At a revision (or no stream) behind the stream's, an append is a repetition if its ids are those of the events at the
 * same revisions. At any revision, it is one if each of its ids was recently written to the stream, in any order.
 */
import type { RecentIds } from './recent-ids.js';
import { DELETED_REVISION } from './record.js';
import type { StoredStream } from './stored-stream.js';

/** A revision, or a name for several. */
export type Expected = bigint | 'any' | 'noStream' | 'streamExists';

export type Decision =
  | { readonly kind: 'write'; readonly undelete: boolean }
  | { readonly kind: 'repeated'; readonly last: bigint }
  /** `current` is the revision of the last event, -1 for no stream. */
  | { readonly kind: 'wrongExpectedVersion'; readonly current: bigint }
  | { readonly kind: 'deleted' };

/** A stream as a writer sees it. */
export interface Checked {
  readonly stream: StoredStream | undefined;
  /** Whether it was deleted, but may be written again. */
  readonly isSoftDeleted: boolean;
  /** Whether it, or the stream it is the metadata of, has a tombstone. */
  readonly isTombstoned: boolean;
  readonly hasMetadata: boolean;
}

export function checkCommit(
  name: string,
  checked: Checked,
  expected: Expected,
  ids: readonly string[],
  recent: RecentIds,
): Decision {
  if (checked.isTombstoned) return { kind: 'deleted' };
  const current = checked.stream?.lastRevision ?? -1n;
  const wrong: Decision = { kind: 'wrongExpectedVersion', current };
  const write: Decision = { kind: 'write', undelete: checked.isSoftDeleted };

  if (expected === 'streamExists') {
    if (checked.isSoftDeleted) return { kind: 'deleted' };
    if (current < 0n && !checked.hasMetadata) return wrong;
  }
  if (expected === 'any' || expected === 'streamExists') {
    let last = -1n;
    for (const [i, id] of ids.entries()) {
      const written = recent.get(id);
      if (written?.stream !== name) return i === 0 ? write : wrong;
      last = written.revision;
    }
    return ids.length === 0 ? write : { kind: 'repeated', last };
  }

  const before = expected === 'noStream' ? -1n : expected;
  if (before > current) return wrong;
  if (before === current) return write;
  for (const [i, id] of ids.entries()) {
    if (checked.stream?.at(before + 1n + BigInt(i))?.id === id) continue;
    return i === 0 && expected === 'noStream' && checked.isSoftDeleted ? write : wrong;
  }
  return ids.length === 0 ? wrong : { kind: 'repeated', last: before + BigInt(ids.length) };
}

/** The expected version as the server encodes it in a number. */
export function toVersion(expected: Expected): bigint {
  switch (expected) {
    case 'any':
      return -2n;
    case 'noStream':
      return -1n;
    case 'streamExists':
      return -4n;
    default:
      return expected > DELETED_REVISION ? -1n : expected;
  }
}
