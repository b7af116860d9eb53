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

/** What the log says of replication, folded. */
export interface ReplicationState extends ShippingState {
  readonly hosts: ReadonlyMap<string, HostRecord>;
  readonly line: number;
  /** The line that is to be begun, before which nothing is claimed; undefined when none is. */
  readonly nextLine: number | undefined;
  /** The number of the policy that began the line; 0 before the first. */
  readonly begun: number;
  /** The epoch that the quorum was reached under; 0 before protocol 2. */
  readonly quorumEpoch: number;
  /** The last election that was won with this log in its line; undefined before one. */
  readonly elected: { readonly epoch: number; readonly base: number } | undefined;
  /** Whether the log was restored from hosts, and has not won an election since. */
  readonly isRestored: boolean;
  /** The weight of hosts that may lie, as the restore of this log was told. */
  readonly dishonestWeight: number;
}

/**
 * The number of the event whose root tells a line from others of its number. Line 1 is nobody's choice: it begins with the log,
 * which may have many events when its first policy comes.
 */
export function beginningOf({ line, begun }: Pick<ReplicationState, 'line' | 'begun'>): number {
  return line === 1 ? 0 : begun;
}

/** The newest policy once more, as an event that no other copy of the log has. */
export function policyAgain({ policies }: ReplicationState, origin: string): readonly ReplicationPolicySet[] {
  const newest = policies.at(-1)?.policy;
  if (newest === undefined) return [];
  return [{ type: 'ReplicationPolicySet', data: { origin, ...newest, version: newest.version + 1 } }];
}

/** The log, as replication reads it. */
export interface Outbox extends Backlog {
  known(): Promise<ReplicationState>;
  /** Resolves true once all is known that is in the log by now; false when that takes too long. */
  catchUp(): Promise<boolean>;
}

/** Where the writer's record is kept. */
export interface WriterStore {
  load(): Promise<WriterRecord | undefined>;
  /** It is on the disk when this returns. */
  save(record: WriterRecord): Promise<void>;
}
