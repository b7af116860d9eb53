import { MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { MAX_BATCH_BYTES, MAX_BATCH_EVENTS } from '../protocol/batch.js';
import { encodeEntry } from '../protocol/entry.js';
import type { ShippedEvent } from '../protocol/event.js';
import type { EnvelopeCache } from './envelope-cache.js';
import type { FrontierCache } from './ports.js';

/** How many grown trees are kept for the next host. */
const MAX_GROWN = 4;

/** The Merkle tree over the origin's own events, at any size. */
export class LocalTree {
  readonly #envelopes: Pick<EnvelopeCache, 'take'>;
  readonly #cache: FrontierCache;
  readonly #onProgress: (size: number, of: number) => void;
  /** The trees grown last. A tree is not changed once it has been returned. */
  #grown: readonly { readonly from: MerkleFrontier; readonly to: MerkleFrontier }[] = [];

  /** @param onProgress receives how many events a tree has so far, and how many it will have */
  constructor(
    envelopes: Pick<EnvelopeCache, 'take'>,
    cache: FrontierCache,
    onProgress: (size: number, of: number) => void = () => undefined,
  ) {
    this.#envelopes = envelopes;
    this.#cache = cache;
    this.#onProgress = onProgress;
  }

  /**
   * The tree over the first events.
   * @param recompute computes everything again: cached frontiers may be damaged
   * @returns undefined when there are fewer events
   */
  async at(size: number, recompute = false): Promise<MerkleFrontier | undefined> {
    const kept = recompute ? undefined : await this.#keptBelow(size);
    let frontier = kept ?? new MerkleFrontier(sha256);
    while (frontier.size < size) {
      const most = Math.min(MAX_BATCH_EVENTS, size - frontier.size);
      const events = await this.#envelopes.take(frontier.size, most, MAX_BATCH_BYTES);
      if (events.length === 0) return undefined;
      frontier = await this.#grow(frontier, events);
      this.#onProgress(frontier.size, size);
    }
    return frontier;
  }

  /** A tree with the next events appended. The result is cached, so that it is quick to get again. */
  async grown(from: MerkleFrontier, events: readonly ShippedEvent[]): Promise<MerkleFrontier> {
    const size = from.size + events.length;
    // Hosts that keep up grow the same trees.
    const grown = this.#grown.find((known) => known.to.size === size && isSame(known.from, from));
    if (grown !== undefined) return grown.to;
    const to = await this.#grow(from, events);
    this.#grown = [...this.#grown.slice(1 - MAX_GROWN), { from, to }];
    return to;
  }

  /**
   * Drops cached frontiers of another history: the log may have been put back from a copy, and have continued
   * differently.
   */
  async #keptBelow(size: number): Promise<MerkleFrontier | undefined> {
    for (;;) {
      const kept = await this.#cache.below(size);
      if (kept === undefined) return undefined;
      const { frontier, lastEntry } = kept;
      const [last] = await this.#envelopes.take(frontier.size - 1, 1, MAX_BATCH_BYTES);
      if (last !== undefined && equalBytes(encodeEntry(last), lastEntry)) return frontier;
      await this.#cache.dropFrom(frontier.size);
    }
  }

  async #grow(from: MerkleFrontier, events: readonly ShippedEvent[]): Promise<MerkleFrontier> {
    const frontier = from.copy();
    for (const event of events) {
      const entry = encodeEntry(event);
      frontier.append(entry);
      if (frontier.size % this.#cache.spacing === 0) await this.#cache.put({ frontier, lastEntry: entry });
    }
    return frontier;
  }
}

function isSame(a: MerkleFrontier, b: MerkleFrontier): boolean {
  return a.size === b.size && equalBytes(a.root(), b.root());
}
