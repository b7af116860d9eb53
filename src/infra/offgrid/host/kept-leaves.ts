import { equalBytes } from '../../crypto/bytes.js';
import { encodeEntry, ENTRY_BYTES, leafHash } from '../protocol/entry.js';
import type { Origin } from '../protocol/fields.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { HistoryName } from '../protocol/queries.js';
import type { HistoryFrontiers } from './history-frontiers.js';
import type { OriginState } from './origin-state.js';
import type { MendedEvent, ReplicaStore, StoredRow } from './replica-store.js';

/** The most events that may be put back together because their leaves are damaged. */
const MAX_CANDIDATES = 1_000;
/** Rows looked at together. */
const PAGE = 4_096;
const NO_ENTRY = new Uint8Array(ENTRY_BYTES);

/** The leaf hashes that are kept of an origin's events: what each event is held to may be damaged as well. */
export class KeptLeaves {
  readonly #origin: Origin;
  readonly #store: ReplicaStore;
  readonly #frontiers: HistoryFrontiers;
  /** Events that came to be mended and whose leaves are damaged, by sequence. */
  readonly #candidates = new Map<number, MendedEvent>();

  constructor(origin: Origin, store: ReplicaStore, frontiers: HistoryFrontiers) {
    this.#origin = origin;
    this.#store = store;
    this.#frontiers = frontiers;
  }

  /**
   * Holds the leaves to the head's root. Where they are not its leaves, the events that they do not fit are marked as damaged;
   * when nothing but leaves is damaged, they are mended.
   */
  async check(state: OriginState): Promise<'RIGHT' | 'MENDED' | 'DAMAGED'> {
    if (state.head === null || (await this.#haveRoot('head', state))) return 'RIGHT';
    await this.#markStrange(state);
    return (await this.#putBack([], state)) ? 'MENDED' : 'DAMAGED';
  }

  /**
   * Puts events back whose leaves are damaged, when with these, with those that came before and with those that are whole but
   * for their leaf the root is the head's. Otherwise they are remembered for the next time, and whatever else does not fit its leaf
   * is marked as damaged: without it the root will never be the head's.
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
   * Holds the leaves of what is staged to its tree's root, where those of the head are right. Where they are not its leaves they are made
   * anew from its events; if that does not mend them it is given up, for it would be held against whoever goes on from it.
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

  forget(): void {
    this.#candidates.clear();
  }

  /** Marks the events of the head as damaged that do not fit their leaves. */
  async #markStrange({ places }: OriginState): Promise<void> {
    for (let after = 0; after < places.head.sequence; after += PAGE) {
      const rows = await this.#store.rows(this.#origin, { of: 'head', after, limit: PAGE });
      const strange = rows.filter((row) => entryBytesOf(row) === NO_ENTRY).map(({ sequence }) => sequence);
      await this.#store.mark(this.#origin, strange);
    }
  }

  /** Whether the root is that of a history's tree, with some leaves replaced. */
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

/** The entry of a row, 42 bytes; zeros when that is not what its leaf says. */
export function entryBytesOf(row: StoredRow): Uint8Array {
  const entry = madeEntry(row);
  return entry !== undefined && equalBytes(leafHash(entry), row.leaf) ? entry : NO_ENTRY;
}

/** The leaf that a row should have; undefined when it says nothing that an entry could. */
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
