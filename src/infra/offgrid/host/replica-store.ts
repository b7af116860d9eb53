import type { AddressedEvent } from '../wire/batch.js';
import type { SignedGrant } from '../wire/claim.js';

/** What a host knows of an origin. */
export interface StoredReplica {
  /** The origin's Ed25519 key, base64, pinned when it first came. */
  readonly key: string;
  readonly grant: SignedGrant;
  /** How many events there are: the sequence of the last. */
  readonly sequence: number;
  /** The epoch under which the last event was shipped, or shipped again; 0 before the first. */
  readonly epoch: number;
  /** The frontier of the Merkle tree over the addresses. */
  readonly peaks: readonly Uint8Array[];
}

/** What can be told of an event without its content. */
export interface StoredAddress {
  readonly sequence: number;
  readonly epoch: number;
  readonly etype: number;
  readonly ts: number;
  readonly eid: Uint8Array;
}

/** What a batch changes, in this order, all or nothing. */
export interface ReplicaChange {
  /** Events from here on are set aside. */
  readonly setAsideFrom?: number;
  /** Events that are there and come again, under `epoch`: they are of it now, and what was damaged of them is mended. */
  readonly reshipped: readonly AddressedEvent[];
  readonly added: readonly AddressedEvent[];
  readonly epoch: number;
  /** What results. */
  readonly head: Pick<StoredReplica, 'sequence' | 'epoch' | 'peaks'>;
}

/** Where a host keeps what origins send. What has been answered is on the disk. */
export interface ReplicaStore {
  load(origin: string): Promise<StoredReplica | undefined>;
  /** Pins the key of a new origin, and grants. */
  grant(origin: string, key: string, grant: SignedGrant): Promise<void>;
  write(origin: string, change: ReplicaChange): Promise<void>;
  /** Keeps events of a batch that another of its epoch contradicts. @throws HostRefusal FULL */
  keepFork(origin: string, epoch: number, events: readonly AddressedEvent[]): Promise<void>;
  /** Addresses from one sequence to another, both included. */
  addresses(origin: string, from: number, to: number): Promise<readonly StoredAddress[]>;
  /** Events after a sequence, at most so many and, beyond the first, so many bytes. */
  events(origin: string, after: number, limit: number, maxBytes: number): Promise<readonly AddressedEvent[]>;
}
