import { equalBytes } from '../../crypto/bytes.js';
import { encodeEntry, ENTRY_BYTES, leafHash } from '../protocol/entry.js';
import type { Origin } from '../protocol/fields.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { OriginState } from './origin-state.js';
import type { MendedEvent, ReplicaStore, StoredRow } from './replica-store.js';
import type { HistoryFrontiers } from './history-frontiers.js';

/** The most events that may be put back together because their leaves are damaged. */
const MAX_CANDIDATES = 1_000;
/** Rows looked at together. */
const PAGE = 4_096;
const NO_ENTRY = new Uint8Array(ENTRY_BYTES);

/** The leaf hashes that are kept of an origin's head: what each event is held to may be damaged as well. */
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
    if (state.head === null || (await this.#haveRoot(state))) return 'RIGHT';
    for (let after = 0; after < state.places.head.sequence; after += PAGE) {
      const rows = await this.#store.rows(this.#origin, { of: 'head', after, limit: PAGE });
      const strange = rows.filter((row) => entryBytesOf(row) === NO_ENTRY).map(({ sequence }) => sequence);
      await this.#store.mark(this.#origin, strange);
    }
    return (await this.mend([], state)) ? 'MENDED' : 'DAMAGED';
  }

  /**
   * Puts events back whose leaves are damaged, when with these, with those that came before and with those that are whole but
   * for their leaf the root is the head's. Otherwise they are remembered for the next time.
   */
  async mend(events: readonly MendedEvent[], state: OriginState): Promise<boolean> {
    for (const event of events) if (this.#candidates.size < MAX_CANDIDATES) this.#candidates.set(event.sequence, event);
    const unleafed = await this.#store.unleafed(this.#origin);
    for (const more of [[...this.#candidates.values()], events]) {
      const replaced = new Map([...unleafed, ...more].map((event) => [event.sequence, event]));
      if (replaced.size === 0 || !(await this.#haveRoot(state, replaced))) continue;
      await this.#store.mendLeaves(this.#origin, [...replaced.values()]);
      this.#frontiers.forget(0);
      this.forget();
      return true;
    }
    return false;
  }

  forget(): void {
    this.#candidates.clear();
  }

  /** Whether the root is the head's, with some leaves replaced. */
  async #haveRoot(
    { head, places }: OriginState,
    replaced: ReadonlyMap<number, MendedEvent> = new Map(),
  ): Promise<boolean> {
    if (head === null) return false;
    const leaves = new Map([...replaced].map(([sequence, { leaf }]) => [sequence, leaf]));
    return equalBytes((await this.#frontiers.whole(places, leaves)).root(), head.value.root);
  }
}

/** The entry of a row, 42 bytes; zeros when that is not what its leaf says. */
export function entryBytesOf(row: StoredRow): Uint8Array {
  try {
    const entry = encodeEntry(row);
    return equalBytes(leafHash(entry), row.leaf) ? entry : NO_ENTRY;
  } catch (error) {
    if (error instanceof ProtocolError) return NO_ENTRY;
    throw error;
  }
}
