import { MerkleFrontier } from '../../../domain/merkle.js';
import { toHex } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { MAX_BATCH_BYTES, MAX_BATCH_EVENTS } from '../wire/batch.js';
import type { FrontierCache } from './ports.js';
import type { SealedWindow } from './sealed-window.js';

/** How far apart the frontiers are that are kept, in events. */
const SPACING = 1_024;

/** The Merkle tree over the addresses of the origin's own events, at any size. */
export class OwnTree {
  readonly #window: SealedWindow;
  readonly #cache: FrontierCache;

  constructor(window: SealedWindow, cache: FrontierCache) {
    this.#window = window;
    this.#cache = cache;
  }

  /**
   * The tree over the first events.
   * @param afresh works it all out again: what was kept may be damaged
   * @returns undefined when there are not so many events
   */
  async at(size: number, afresh = false): Promise<MerkleFrontier | undefined> {
    const kept = afresh ? undefined : await this.#cache.below(size);
    const frontier = kept ?? new MerkleFrontier(sha256);
    while (frontier.size < size) {
      const most = Math.min(MAX_BATCH_EVENTS, size - frontier.size);
      const events = await this.#window.take(frontier.size, most, MAX_BATCH_BYTES);
      if (events.length === 0) return undefined;
      for (const { eid } of events) await this.append(frontier, eid);
    }
    return frontier;
  }

  /** Adds an event to a tree of ours, and keeps what makes it quick to get there again. */
  async append(frontier: MerkleFrontier, eid: Uint8Array): Promise<void> {
    frontier.append(eid);
    if (frontier.size % SPACING === 0) await this.#cache.put(frontier);
  }

  async rootAt(size: number, afresh = false): Promise<string | undefined> {
    const frontier = await this.at(size, afresh);
    return frontier && toHex(frontier.root());
  }
}
