import type { FrontierCache, KeptFrontier } from '../../src/infra/offgrid/replication/ports.js';

/** Frontiers in memory, closer together than the product keeps them: a simulated history is short. */
export class MemoryFrontiers implements FrontierCache {
  readonly spacing = 3;
  readonly #kept: Map<number, KeptFrontier>;

  constructor(kept: Iterable<readonly [number, KeptFrontier]> = []) {
    this.#kept = new Map(kept);
  }

  copy(): MemoryFrontiers {
    return new MemoryFrontiers(this.#kept);
  }

  async below(size: number): Promise<KeptFrontier | undefined> {
    const sizes = [...this.#kept.keys()].filter((kept) => kept <= size);
    return this.#kept.get(Math.max(0, ...sizes));
  }

  async put({ frontier, lastEntry }: KeptFrontier): Promise<void> {
    this.#kept.set(frontier.size, { frontier: frontier.copy(), lastEntry });
  }

  async dropFrom(size: number): Promise<void> {
    for (const kept of this.#kept.keys()) if (kept >= size) this.#kept.delete(kept);
  }
}
