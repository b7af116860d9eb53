import { HASH_BYTES, MerkleFrontier } from '../../../domain/merkle.js';
import { sha256 } from '../../crypto/sha256.js';
import type { HistoryName } from '../protocol/queries.js';
import type { Places, ReplicaStore } from './replica-store.js';

/** A frontier is remembered at every multiple of this. */
const STEP = 4_096;
/** Frontiers remembered for each history: those of a million events. */
const MAX_REMEMBERED = 256;
/** Those that were asked for last: the next question is about a place near by. */
const MAX_RECENT = 4;

const NONE: ReadonlyMap<number, Uint8Array> = new Map();

/** The Merkle trees over the first events of an origin's two histories, made from the leaf hashes that are stored. */
export class HistoryFrontiers {
  readonly #origin: string;
  readonly #store: ReplicaStore;
  readonly #remembered = { head: new Map<number, MerkleFrontier>(), staged: new Map<number, MerkleFrontier>() };
  readonly #recent = { head: new Map<number, MerkleFrontier>(), staged: new Map<number, MerkleFrontier>() };

  constructor(origin: string, store: ReplicaStore) {
    this.#origin = origin;
    this.#store = store;
  }

  /** The tree over the first events of a history, which has as many. It may be grown by whoever gets it. */
  async at(size: number, history: HistoryName, places: Places): Promise<MerkleFrontier> {
    const of = size <= places.common ? 'head' : history;
    const { sequence, peaks } = places[of];
    if (size === sequence) return new MerkleFrontier(sha256, size, peaks);
    return this.made(size, of, places);
  }

  /** The tree over a whole history, made from its leaves anew, with some of them replaced. */
  async whole(of: HistoryName, places: Places, replaced = NONE): Promise<MerkleFrontier> {
    this.forget(0);
    return this.made(places[of].sequence, of, places, replaced);
  }

  /** Forgets what is beyond the first events of the head, and all that is staged. */
  forget(beyond: number): void {
    for (const { head, staged } of [this.#remembered, this.#recent]) {
      for (const size of [...head.keys()]) if (size > beyond) head.delete(size);
      staged.clear();
    }
  }

  /** The tree over the first events of a history, made from leaves. */
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
