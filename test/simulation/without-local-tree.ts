import { vi } from 'vitest';
import type * as Own from '../../src/infra/offgrid/replication/local-tree.js';
import { encodeEntry } from '../../src/infra/offgrid/protocol/entry.js';
import type { FrontierCache } from '../../src/infra/offgrid/replication/ports.js';
import { isWithout } from './controls.js';

/** src/infra/offgrid/replication/local-tree.js, with what a control leaves out. */

const real = await vi.importActual<typeof Own>('../../src/infra/offgrid/replication/local-tree.js');
type Parts = ConstructorParameters<typeof Own.LocalTree>;

export class LocalTree extends real.LocalTree {
  constructor(window: Parts[0], cache: FrontierCache, onProgress: Parts[2]) {
    super(window, isWithout('frontiers') ? believed(cache, window) : cache, onProgress);
  }
}

/** Frontiers of which each is taken to end with the entry that the log has there. */
function believed(cache: FrontierCache, window: Parts[0]): FrontierCache {
  return {
    spacing: cache.spacing,
    put: (kept) => cache.put(kept),
    dropFrom: (size) => cache.dropFrom(size),
    below: async (size) => {
      const kept = await cache.below(size);
      const [last] = kept === undefined ? [] : await window.take(kept.frontier.size - 1, 1, 1);
      return kept && last && { ...kept, lastEntry: encodeEntry(last) };
    },
  };
}
