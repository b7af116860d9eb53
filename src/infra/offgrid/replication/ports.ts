import type { ReplicatedEvent } from '../../../domain/event.js';
import type { KeyRotated, KnownKey } from '../../../domain/keyring.js';
import type { MerkleFrontier } from '../../../domain/merkle.js';
import type { HostState, PlacedPolicy, ReplicationFact } from '../../../domain/replication.js';

/** A host as the log knows it. */
export interface KnownHost {
  readonly host: string;
  readonly state: HostState;
  /** The sequence up to which it has signed. */
  readonly sequence: number;
}

/** What shipping needs of the replication state, folded from the log. */
export interface ShippingState {
  /** The origin that the keys name. */
  readonly origin: string | undefined;
  /** The sequence of the last replicated event. */
  readonly head: number;
  /** The sequence up to which a quorum has signed. */
  readonly quorum: number;
  /** The policies in play, in the order they were set. */
  readonly policies: readonly PlacedPolicy[];
  readonly hosts: ReadonlyMap<string, KnownHost>;
  /** In the order of their sequences. */
  readonly keys: readonly KnownKey[];
  /** The numbers of events whose content no host has: a HistoryHole stands for each. */
  readonly holes: ReadonlySet<number>;
}

/** The events to be shipped. */
export interface Backlog {
  known(): Promise<ShippingState>;
  /** Resolves when more may be known, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void>;
  /** The events after a sequence, as far as they are known, at most `limit`. */
  events(after: number, limit: number): Promise<readonly ReplicatedEvent[]>;
}

/** Where the replicator records its facts. */
export interface Journal {
  /** Appends facts to the streams they belong to; they are durable, and known to the backlog, when this returns. */
  record(facts: readonly (ReplicationFact | KeyRotated)[]): Promise<void>;
}

/**
 * A frontier, and the entry (its 42 bytes) that it ends with: it belongs to a log only if the log has that entry there.
 */
export interface KeptFrontier {
  readonly frontier: MerkleFrontier;
  readonly lastEntry: Uint8Array;
}

/** Frontiers of the origin's tree, so that not all of its events must be sealed again; any may be missing. */
export interface FrontierCache {
  /** The distance between frontiers that are worth keeping, in events. */
  readonly spacing: number;
  /** The largest frontier with at most `size` leaves. */
  below(size: number): Promise<KeptFrontier | undefined>;
  put(kept: KeptFrontier): Promise<void>;
  /** Drops frontiers with `size` leaves or more. */
  dropFrom(size: number): Promise<void>;
}
