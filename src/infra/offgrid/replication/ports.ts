import type { ReplicatedEvent } from '../../../domain/event.js';
import type { KeyRotated, KnownKey } from '../../../domain/keyring.js';
import type { MerkleFrontier } from '../../../domain/merkle.js';
import type { HostState, PlacedPolicy, ReplicationFact } from '../../../domain/replication.js';

/** A host as the log knows it. */
export interface KnownHost {
  readonly host: string;
  readonly state: HostState;
  /** What it has signed for. */
  readonly sequence: number;
}

/** What the log says of replication, folded. */
export interface ShippingState {
  /** The origin that the keys name. */
  readonly origin: string | undefined;
  /** The sequence of the last replicated event. */
  readonly head: number;
  /** Up to here a quorum has signed. */
  readonly quorum: number;
  /** From the policy in force on, in the order they were set. */
  readonly policies: readonly PlacedPolicy[];
  readonly hosts: ReadonlyMap<string, KnownHost>;
  /** In the order of their sequences. */
  readonly keys: readonly KnownKey[];
  /** The numbers of events whose content nobody has: a HistoryHole stands for each. */
  readonly holes: ReadonlySet<number>;
}

/** What has to be shipped. */
export interface Backlog {
  known(): Promise<ShippingState>;
  /** Resolves when more may be known, or the signal comes. */
  changed(signal: AbortSignal): Promise<void>;
  /** Events after a sequence, as far as they are known, at most so many. */
  events(after: number, limit: number): Promise<readonly ReplicatedEvent[]>;
}

/** Where the replicator writes what it finds out. */
export interface Journal {
  /** Appends facts to the streams they belong to; they are durable, and known to the backlog, when this returns. */
  record(facts: readonly (ReplicationFact | KeyRotated)[]): Promise<void>;
}

/** A frontier, and the entry (its 42 bytes) that it ends with: it is of a log only if the log has that entry there. */
export interface KeptFrontier {
  readonly frontier: MerkleFrontier;
  readonly lastEntry: Uint8Array;
}

/** Frontiers of the origin's own tree, so that not all of it has to be sealed again; any may be missing. */
export interface FrontierCache {
  /** How far apart the frontiers are that are worth keeping, in events. */
  readonly spacing: number;
  /** The largest that has at most so many leaves. */
  below(size: number): Promise<KeptFrontier | undefined>;
  put(kept: KeptFrontier): Promise<void>;
  /** Forgets those with so many leaves or more. */
  dropFrom(size: number): Promise<void>;
}
