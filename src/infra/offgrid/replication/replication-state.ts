import type { CountedHead, ReplicationPolicySet } from '../../../domain/replication.js';
import type { WriterRecord } from '../../../domain/writer.js';
import type { Backlog, ShippingState, KnownHost } from './ports.js';

/** A host as the log knows it. */
export interface HostRecord extends KnownHost {
  /** Why it is in its state. */
  readonly why: string;
  /** The head that was counted last; null before one was. */
  readonly head: CountedHead | null;
}

/** The replication state of a log, folded from its events. */
export interface ReplicationState extends ShippingState {
  readonly hosts: ReadonlyMap<string, HostRecord>;
  readonly line: number;
  /** The line that is to be begun, before which nothing is claimed; undefined when there is none. */
  readonly nextLine: number | undefined;
  /** The number of the policy event that began the line; 0 before the first. */
  readonly begun: number;
  /** The epoch that the quorum was reached under; 0 before protocol 2. */
  readonly quorumEpoch: number;
  /** The last election that was won with this log in its line; undefined before one. */
  readonly elected: { readonly epoch: number; readonly base: number } | undefined;
  /** Whether the log was restored from hosts, and has not won an election since. */
  readonly isRestored: boolean;
  /** The weight of hosts that may be dishonest, as given to the restore of this log. */
  readonly dishonestWeight: number;
}

/**
 * The number of the event whose root distinguishes a line from other lines of the same number. Line 1 is not begun by
 * choice: it begins with the log, which may have many events when its first policy is set.
 */
export function beginningOf({ line, begun }: Pick<ReplicationState, 'line' | 'begun'>): number {
  return line === 1 ? 0 : begun;
}

/** The newest policy again, as an event that no other copy of the log has. */
export function policyAgain({ policies }: ReplicationState, origin: string): readonly ReplicationPolicySet[] {
  const newest = policies.at(-1)?.policy;
  if (newest === undefined) return [];
  return [{ type: 'ReplicationPolicySet', data: { origin, ...newest, version: newest.version + 1 } }];
}

/** The log, as replication reads it. */
export interface Outbox extends Backlog {
  known(): Promise<ReplicationState>;
  /** Resolves true once everything now in the log is known; false when that takes too long. */
  catchUp(): Promise<boolean>;
}

/** Where the writer's record is kept. */
export interface WriterStore {
  load(): Promise<WriterRecord | undefined>;
  /** The record is on the disk when this returns. */
  save(record: WriterRecord): Promise<void>;
}
