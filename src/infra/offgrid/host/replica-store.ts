import type { StoredEvent } from '../protocol/events-answer.js';
import type { HistoryName } from '../protocol/queries.js';
import type { SignedThing } from '../protocol/signed.js';

/** What a host keeps of an origin, other than its events. Signed things are stored as received. */
export interface StoredOrigin {
  /** The origin's verify key, pinned by its first claim: 32 bytes. */
  readonly key: Uint8Array;
  /** The claim that was granted. */
  readonly claim: SignedThing<'claim'> | null;
  /** The complete tree whose events are all stored. */
  readonly head: SignedThing<'tree'> | null;
  /** The last tree of the staged history. */
  readonly staged: SignedThing<'tree'> | null;
  /** Of the trees accepted with a quorum above 0, the one of the highest (line, quorum). */
  readonly known: SignedThing<'tree'> | null;
  readonly places: Places;
}

/** The lengths and peaks of the two histories, and the number of first events that they share. */
export interface Places {
  readonly head: Place;
  /** Its length is 0 when nothing is staged. */
  readonly staged: Place;
  /** The number of first events that head and staged share; the head's length when nothing is staged. */
  readonly common: number;
}

/** The length of a history, and the peaks of the Merkle tree over its entries. */
export interface Place {
  readonly sequence: number;
  readonly peaks: readonly Uint8Array[];
}

/** An event with its address and its leaf. */
export interface LeafEvent {
  readonly etype: number;
  readonly ts: number;
  /** Null for a hole: no one has the content any more, so the event is damaged from the beginning. */
  readonly sealed: Uint8Array | null;
  readonly eid: Uint8Array;
  /** SHA-256(00 ‖ entry). */
  readonly leaf: Uint8Array;
}

/** An event that has its content. */
export interface WholeEvent extends LeafEvent {
  readonly sealed: Uint8Array;
}

/** How a batch changes the histories of an origin, all or nothing. */
export interface HistoryChange {
  /** The places that the change was decided on. It is applied only to these. */
  readonly before: Places;
  /** The history that is continued. If it is the head, a history staged beside it is set aside. */
  readonly base: HistoryName;
  /** The number of its first events that are kept. */
  readonly keep: number;
  /** The events after these. */
  readonly added: readonly LeafEvent[];
  /** What the history becomes. As the head, it sets aside the head's events beyond `keep`, and nothing is staged any more. */
  readonly becomes: HistoryName;
  readonly tree: SignedThing<'tree'>;
  readonly places: Places;
  /** The trees of the histories that are set aside; they are kept as evidence with the events. */
  readonly setAside: readonly SignedThing<'tree'>[];
  readonly known: SignedThing<'tree'> | null;
}

/** An event as stored, intact or not, without its content. */
export interface StoredRow {
  readonly sequence: number;
  readonly etype: number;
  readonly ts: number;
  readonly eid: Uint8Array;
  readonly leaf: Uint8Array;
}

/** An event that replaces a damaged one. */
export interface MendedEvent extends WholeEvent {
  readonly sequence: number;
}

/** A page of a history. */
export interface Page {
  readonly of: HistoryName;
  /** The page begins at the event with the sequence after + 1. */
  readonly after: number;
  readonly limit: number;
}

/**
 * The store of a host for what origins send. When the promise of a change resolves, the change is on the disk. Each read sees
 * a consistent state. Changes throw RefusalError FULL when the disk or the budget is full; nothing has changed then.
 */
export interface ReplicaStore {
  /** The stored state of an origin; undefined when it is not known. @throws RefusalError DAMAGED */
  load(origin: string): Promise<StoredOrigin | undefined>;
  /** Grants a claim; pins the key of an origin that has none. */
  grant(origin: string, key: Uint8Array, claim: SignedThing<'claim'>): Promise<void>;
  /** Changes the histories as a batch requires. */
  change(origin: string, change: HistoryChange): Promise<void>;
  /** Replaces trees; the histories do not change. */
  renew(origin: string, trees: Partial<Pick<StoredOrigin, 'head' | 'known'>>): Promise<void>;
  /** Replaces the stored places, which are damaged. */
  place(origin: string, places: Places): Promise<void>;
  /** Keeps a tree that contradicts the stored history as evidence, unless there are too many already. */
  keepFork(origin: string, tree: SignedThing<'tree'>): Promise<void>;
  /** The leaf hashes from one sequence to another, both included, concatenated: 32 bytes each. */
  leaves(origin: string, of: HistoryName, from: number, to: number): Promise<Uint8Array>;
  /** The rows of a page. A missing event has an empty row: type and time 0, empty address and leaf. */
  rows(origin: string, page: Page): Promise<readonly StoredRow[]>;
  /**
   * The events of a page, with `null` for each content that is missing or does not match its leaf. Such events are marked as
   * damaged.
   */
  events(origin: string, page: Page, maxBytes: number): Promise<readonly StoredEvent[]>;
  /** The sequences of the head's events that are known to be damaged. */
  damaged(origin: string, after: number, limit: number): Promise<readonly number[]>;
  /** The number of the head's events that are known to be damaged. */
  countDamaged(origin: string): Promise<number>;
  /** Marks events of the head as damaged, including missing ones. */
  mark(origin: string, sequences: readonly number[]): Promise<void>;
  /** The damaged events of the head that are intact except for their leaf, with the leaf that they should have. */
  unleafed(origin: string): Promise<readonly MendedEvent[]>;
  /** Restores the events, in either history, whose leaf is the stored one. Resolves with the sequences that are intact now. */
  mend(origin: string, events: readonly MendedEvent[]): Promise<readonly number[]>;
  /** Restores events of the head together with their leaves, regardless of the stored leaves. */
  mendLeaves(origin: string, events: readonly MendedEvent[]): Promise<void>;
  /** Replaces leaves of the staged history beyond what it shares with the head, by sequence. */
  mendStagedLeaves(origin: string, leaves: ReadonlyMap<number, Uint8Array>): Promise<void>;
  /** Sets the staged history aside, with its tree. */
  giveUpStaged(origin: string): Promise<void>;
}
