import { HASH_BYTES, MerkleFrontier } from '../../../domain/merkle.js';
import { sha256 } from '../../crypto/sha256.js';
import type { HistoryName } from '../protocol/queries.js';
import type { Places, ReplicaStore } from './replica-store.js';

/** A frontier is remembered at every multiple of this number of events. */
const STEP = 4_096;
/** The maximum number of frontiers remembered for each history: enough for a million events. */
const MAX_REMEMBERED = 256;
/** The maximum number of recent frontiers: the next request is usually for a size nearby. */
const MAX_RECENT = 4;

const NONE: ReadonlyMap<number, Uint8Array> = new Map();

/** The Merkle frontiers over the first events of an origin's two histories, computed from the stored leaf hashes. */
export class HistoryFrontiers {
  readonly #origin: string;
  readonly #store: ReplicaStore;
  readonly #remembered = { head: new Map<number, MerkleFrontier>(), staged: new Map<number, MerkleFrontier>() };
  readonly #recent = { head: new Map<number, MerkleFrontier>(), staged: new Map<number, MerkleFrontier>() };

  constructor(origin: string, store: ReplicaStore) {
    this.#origin = origin;
    this.#store = store;
  }

  /** The frontier over the first `size` events of a history, which must have that many. The caller may append to it. */
  async at(size: number, history: HistoryName, places: Places): Promise<MerkleFrontier> {
    const of = size <= places.common ? 'head' : history;
    const { sequence, peaks } = places[of];
    if (size === sequence) return new MerkleFrontier(sha256, size, peaks);
    return this.made(size, of, places);
  }

  /** The frontier over a complete history, computed again from its leaves, with some of them replaced. */
  async whole(of: HistoryName, places: Places, replaced = NONE): Promise<MerkleFrontier> {
    this.forget(0);
    return this.made(places[of].sequence, of, places, replaced);
  }

  /** Forgets the frontiers beyond the first `beyond` events of the head, and all of the staged history. */
  forget(beyond: number): void {
    for (const { head, staged } of [this.#remembered, this.#recent]) {
      for (const size of [...head.keys()]) if (size > beyond) head.delete(size);
      staged.clear();
    }
  }

  /** The frontier over the first `size` events of a history, computed from leaves and remembered frontiers. */
  async made(size: number, of: HistoryName, places: Places, replaced = NONE): Promise<MerkleFrontier> {
    const frontier = this.#nearest(size, of, places.common);
    while (frontier.size < size) {
      const from = frontier.size + 1;
      const to = Math.min(size, from - 1 + STEP - (frontier.size % STEP));
      const leaves = await this.#store.leaves(this.#origin, of, from, to);
      for (let sequence = from; sequence <= to; sequence += 1) {
        const at = (sequence - from) * HASH_BYTES;
        frontier.appendHash(replaced.get(sequence) ?? leaves.subarray(at, at + HASH_BYTES));
      }
      if (replaced.size > 0) continue;
      const kept = frontier.size <= places.common ? 'head' : of;
      if (frontier.size % STEP === 0) remember(this.#remembered[kept], frontier, MAX_REMEMBERED);
      else remember(this.#recent[kept], frontier, MAX_RECENT);
    }
    return frontier;
  }

  #nearest(size: number, of: HistoryName, common: number): MerkleFrontier {
    const recent = [...this.#recent.head.values(), ...(of === 'staged' ? this.#recent.staged.values() : [])];
    const near = recent
      .filter((known) => known.size <= size && size - known.size < STEP)
      .filter((known) => known.size <= common || this.#recent[of].get(known.size) === known)
      .reduce<MerkleFrontier | undefined>((a, b) => (a !== undefined && a.size >= b.size ? a : b), undefined);
    if (near !== undefined && near.size >= size - (size % STEP)) return near.copy();
    for (let at = size - (size % STEP); at > 0; at -= STEP) {
      const known = this.#remembered[at <= common ? 'head' : of].get(at);
      if (known !== undefined) return known.copy();
    }
    return new MerkleFrontier(sha256);
  }
}

function remember(known: Map<number, MerkleFrontier>, frontier: MerkleFrontier, most: number): void {
  known.delete(frontier.size);
  const [oldest] = known.keys();
  if (known.size >= most && oldest !== undefined) known.delete(oldest);
  known.set(frontier.size, frontier.copy());
}
