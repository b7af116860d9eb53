import { equalBytes } from '../../crypto/bytes.js';
import { encodeEntry, ENTRY_BYTES, leafHash } from '../protocol/entry.js';
import type { Origin } from '../protocol/fields.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { HistoryName } from '../protocol/queries.js';
import type { HistoryFrontiers } from './history-frontiers.js';
import type { OriginState } from './origin-state.js';
import type { MendedEvent, ReplicaStore, StoredRow } from './replica-store.js';

/** The maximum number of events with damaged leaves that may be restored together. */
const MAX_CANDIDATES = 1_000;
/** The number of rows that are read together. */
const PAGE = 4_096;
const NO_ENTRY = new Uint8Array(ENTRY_BYTES);

/** Checks and mends the stored leaf hashes of an origin's events. These prove the events, but may be damaged themselves. */
export class KeptLeaves {
  readonly #origin: Origin;
  readonly #store: ReplicaStore;
  readonly #frontiers: HistoryFrontiers;
  /** Events received in mends whose leaves are damaged, by sequence. */
  readonly #candidates = new Map<number, MendedEvent>();

  constructor(origin: Origin, store: ReplicaStore, frontiers: HistoryFrontiers) {
    this.#origin = origin;
    this.#store = store;
    this.#frontiers = frontiers;
  }

  /**
   * Checks the leaves against the head's root. If the root differs, the events that do not match their leaves are marked as
   * damaged; if only leaves are damaged, these are mended.
   */
  async check(state: OriginState): Promise<'RIGHT' | 'MENDED' | 'DAMAGED'> {
    if (state.head === null || (await this.#haveRoot('head', state))) return 'RIGHT';
    await this.#markStrange(state);
    return (await this.#putBack([], state)) ? 'MENDED' : 'DAMAGED';
  }

  /**
   * Restores events whose leaves are damaged, if the leaves of these events, of those received before, and of stored events
   * that are intact but for their leaf, together give the head's root. Otherwise the events are remembered for the next
   * attempt, and every other event that does not match its leaf is marked as damaged: it must be restored as well before the
   * root can be the head's.
   */
  async mend(events: readonly MendedEvent[], state: OriginState): Promise<boolean> {
    const isMended = await this.#putBack(events, state);
    if (!isMended && events.length > 0) await this.#markStrange(state);
    return isMended;
  }

  async #putBack(events: readonly MendedEvent[], state: OriginState): Promise<boolean> {
    for (const event of events) if (this.#candidates.size < MAX_CANDIDATES) this.#candidates.set(event.sequence, event);
    const unleafed = await this.#store.unleafed(this.#origin);
    for (const more of [[...this.#candidates.values()], events]) {
      const replaced = new Map([...unleafed, ...more].map((event) => [event.sequence, event]));
      if (replaced.size === 0 || !(await this.#haveRoot('head', state, leavesOf(replaced)))) continue;
      await this.#store.mendLeaves(this.#origin, [...replaced.values()]);
      this.#frontiers.forget(0);
      this.forget();
      return true;
    }
    return false;
  }

  /**
   * Checks the leaves of the staged history against its tree's root; those of the head must be right. If the root differs, the
   * leaves are computed again from the staged events. If that does not mend them, the staged history is set aside, because a
   * core that continues it would be refused.
   */
  async checkStaged(state: OriginState): Promise<'RIGHT' | 'MENDED' | 'GIVEN UP'> {
    const { staged, places } = state;
    if (staged === null || (await this.#haveRoot('staged', state))) return 'RIGHT';
    const made = new Map<number, Uint8Array>();
    for (let after = places.common; after < places.staged.sequence; after += PAGE)
      for (const row of await this.#store.rows(this.#origin, { of: 'staged', after, limit: PAGE })) {
        const leaf = madeLeaf(row);
        if (leaf !== undefined && !equalBytes(leaf, row.leaf)) made.set(row.sequence, leaf);
      }
    const isMended = made.size > 0 && (await this.#haveRoot('staged', state, made));
    if (isMended) await this.#store.mendStagedLeaves(this.#origin, made);
    else await this.#store.giveUpStaged(this.#origin);
    this.#frontiers.forget(0);
    return isMended ? 'MENDED' : 'GIVEN UP';
  }

  /** Forgets the events received in mends. */
  forget(): void {
    this.#candidates.clear();
  }

  /** Marks the events of the head that do not match their leaves as damaged. */
  async #markStrange({ places }: OriginState): Promise<void> {
    for (let after = 0; after < places.head.sequence; after += PAGE) {
      const rows = await this.#store.rows(this.#origin, { of: 'head', after, limit: PAGE });
      const strange = rows.filter((row) => entryBytesOf(row) === NO_ENTRY).map(({ sequence }) => sequence);
      await this.#store.mark(this.#origin, strange);
    }
  }

  /** Whether the leaves of a history, with some of them replaced, give the root of its tree. */
  async #haveRoot(
    of: HistoryName,
    { [of]: tree, places }: OriginState,
    leaves?: ReadonlyMap<number, Uint8Array>,
  ): Promise<boolean> {
    return tree !== null && equalBytes((await this.#frontiers.whole(of, places, leaves)).root(), tree.value.root);
  }
}

function leavesOf(events: ReadonlyMap<number, MendedEvent>): ReadonlyMap<number, Uint8Array> {
  return new Map([...events].map(([sequence, { leaf }]) => [sequence, leaf]));
}

/** The entry of a row, 42 bytes; zeros when it does not match the row's leaf. */
export function entryBytesOf(row: StoredRow): Uint8Array {
  const entry = madeEntry(row);
  return entry !== undefined && equalBytes(leafHash(entry), row.leaf) ? entry : NO_ENTRY;
}

/** The leaf that a row should have; undefined when its values are out of range for an entry. */
function madeLeaf(row: StoredRow): Uint8Array | undefined {
  const entry = madeEntry(row);
  return entry && leafHash(entry);
}

function madeEntry(row: StoredRow): Uint8Array | undefined {
  try {
    return encodeEntry(row);
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}
