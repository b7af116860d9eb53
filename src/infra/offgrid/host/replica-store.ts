import type { StoredEvent } from '../protocol/events-answer.js';
import type { HistoryName } from '../protocol/queries.js';
import type { SignedThing } from '../protocol/signed.js';

/** What a host keeps of an origin, beside its events. Signed things are as they came. */
export interface StoredOrigin {
  /** The origin's verify key, pinned by its first claim: 32 bytes. */
  readonly key: Uint8Array;
  /** The claim that was granted. */
  readonly claim: SignedThing<'claim'> | null;
  /** The complete tree whose events are all here. */
  readonly head: SignedThing<'tree'> | null;
  /** The last tree of a history that is not the head's yet. */
  readonly staged: SignedThing<'tree'> | null;
  /** Of the trees accepted here with a quorum above 0, the one of the highest (line, quorum). */
  readonly known: SignedThing<'tree'> | null;
  readonly places: Places;
}

/** How long the two histories are, what their trees grow from, and how many of their first events are the same. */
export interface Places {
  readonly head: Place;
  /** Of the length 0 when nothing is staged. */
  readonly staged: Place;
  /** What head and staged have in common; the head's length when nothing is staged. */
  readonly common: number;
}

/** The length of a history, and the peaks of the Merkle tree over its entries. */
export interface Place {
  readonly sequence: number;
  readonly peaks: readonly Uint8Array[];
}

/** An event with what its place in the tree follows from. */
export interface LeafEvent {
  readonly etype: number;
  readonly ts: number;
  /** Null: nobody has it any more. It is damaged from the beginning. */
  readonly sealed: Uint8Array | null;
  readonly eid: Uint8Array;
  /** SHA-256(00 ‖ entry). */
  readonly leaf: Uint8Array;
}

/** One whose content is there. */
export interface WholeEvent extends LeafEvent {
  readonly sealed: Uint8Array;
}

/** How a batch changes the histories of an origin, all or nothing. */
export interface HistoryChange {
  /** What the change was judged on: it is not made to anything else. */
  readonly before: Places;
  /** The history that goes on. When it is the head's, what was staged beside it is set aside. */
  readonly base: HistoryName;
  /** How many of its events stay. */
  readonly keep: number;
  /** What follows them. */
  readonly added: readonly LeafEvent[];
  /** What the history becomes. As the head, it sets aside what the head had beyond `keep`, and nothing is staged any more. */
  readonly becomes: HistoryName;
  readonly tree: SignedThing<'tree'>;
  readonly places: Places;
  /** Trees of what is set aside: they are kept with it. */
  readonly setAside: readonly SignedThing<'tree'>[];
  readonly known: SignedThing<'tree'> | null;
}

/** An event as it is stored, whole or not. */
export interface StoredRow {
  readonly sequence: number;
  readonly etype: number;
  readonly ts: number;
  readonly eid: Uint8Array;
  readonly leaf: Uint8Array;
}

/** An event that comes back in the place of one that is damaged. */
export interface MendedEvent extends WholeEvent {
  readonly sequence: number;
}

/** A page of a history. */
export interface Page {
  readonly of: HistoryName;
  /** Events after the first so many. */
  readonly after: number;
  readonly limit: number;
}

/**
 * Where a host keeps what origins send. What a promise has resolved for is on the disk. Each read sees one moment.
 * @throws RefusalError FULL, when the disk or the budget is; nothing has changed then
 */
export interface ReplicaStore {
  load(origin: string): Promise<StoredOrigin | undefined>;
  /** Grants a claim; pins the key of an origin that has none. */
  grant(origin: string, key: Uint8Array, claim: SignedThing<'claim'>): Promise<void>;
  change(origin: string, change: HistoryChange): Promise<void>;
  /** Replaces trees; the histories stay as they are. */
  renew(origin: string, trees: Partial<Pick<StoredOrigin, 'head' | 'known'>>): Promise<void>;
  /** Writes anew where the histories end: what was stored of it is damaged. */
  place(origin: string, places: Places): Promise<void>;
  /** Keeps a tree that contradicts the head, unless there are too many already. */
  keepFork(origin: string, tree: SignedThing<'tree'>): Promise<void>;
  /** Leaf hashes from one sequence to another, both included, one after the other: 32 bytes each. */
  leaves(origin: string, of: HistoryName, from: number, to: number): Promise<Uint8Array>;
  /** What is stored of events without their contents. Of one that is missing there is a row that says nothing. */
  rows(origin: string, page: Page): Promise<readonly StoredRow[]>;
  /**
   * Events, `null` for the content of each that is missing or not what its leaf says; such are known as damaged from then on.
   */
  events(origin: string, page: Page, maxBytes: number): Promise<readonly StoredEvent[]>;
  /** Sequences of the head's events that are known as damaged. */
  damaged(origin: string, after: number, limit: number): Promise<readonly number[]>;
  countDamaged(origin: string): Promise<number>;
  /** Marks events of the head as damaged, those that are missing too. */
  mark(origin: string, sequences: readonly number[]): Promise<void>;
  /** The damaged events of the head that are whole but for their leaf: with the leaf that they should have. */
  unleafed(origin: string): Promise<readonly MendedEvent[]>;
  /** Puts events back, of either history, that have the leaf that is kept. Resolves with the sequences that are whole now. */
  mend(origin: string, events: readonly MendedEvent[]): Promise<readonly number[]>;
  /** Puts events of the head back with their leaves, whatever leaves are kept. */
  mendLeaves(origin: string, events: readonly MendedEvent[]): Promise<void>;
  /** Replaces leaves of what is staged beyond the head, by sequence. */
  mendStagedLeaves(origin: string, leaves: ReadonlyMap<number, Uint8Array>): Promise<void>;
  /** Sets aside what is staged, with its tree. */
  giveUpStaged(origin: string): Promise<void>;
}
