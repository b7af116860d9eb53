import { HASH_BYTES, MerkleFrontier } from '../../../domain/merkle.js';
import { sha256 } from '../../crypto/sha256.js';
import type { HistoryName } from '../protocol/queries.js';
import type { Places, ReplicaStore } from './replica-store.js';

/** A frontier is remembered at every multiple of this. */
const STEP = 4_096;
/** Frontiers remembered for each history: those of a million events. */
const MAX_REMEMBERED = 256;

const NONE: ReadonlyMap<number, Uint8Array> = new Map();

/** The Merkle trees over the first events of an origin's two histories, made from the leaf hashes that are stored. */
export class HistoryFrontiers {
  readonly #origin: string;
  readonly #store: ReplicaStore;
  readonly #remembered = { head: new Map<number, MerkleFrontier>(), staged: new Map<number, MerkleFrontier>() };

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

  /** The tree over the whole head, made from its leaves anew, with some of them replaced. */
  async whole(places: Places, replaced = NONE): Promise<MerkleFrontier> {
    this.forget(0);
    return this.made(places.head.sequence, 'head', places, replaced);
  }

  /** Forgets what is beyond the first events of the head, and all that is staged. */
  forget(beyond: number): void {
    for (const size of [...this.#remembered.head.keys()]) if (size > beyond) this.#remembered.head.delete(size);
    this.#remembered.staged.clear();
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
      if (frontier.size % STEP === 0 && replaced.size === 0) {
        this.#remember(frontier, frontier.size <= places.common ? 'head' : of);
      }
    }
    return frontier;
  }

  #remember(frontier: MerkleFrontier, of: HistoryName): void {
    const remembered = this.#remembered[of];
    const [oldest] = remembered.keys();
    if (remembered.size >= MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
    remembered.set(frontier.size, frontier.copy());
  }

  #nearest(size: number, of: HistoryName, common: number): MerkleFrontier {
    for (let at = size - (size % STEP); at > 0; at -= STEP) {
      const known = this.#remembered[at <= common ? 'head' : of].get(at);
      if (known !== undefined) return known.copy();
    }
    return new MerkleFrontier(sha256);
  }
}
