import { HostRefusal } from './problems.js';
import { Replica, type ReplicaOptions } from './replica.js';

/** The most requests of all origins under way or waiting. */
const MAX_PENDING = 64;

/** The replicas of a host, by origin. */
export class Replicas {
  readonly #options: ReplicaOptions;
  readonly #replicas = new Map<string, Replica>();

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** @throws HostRefusal BUSY */
  of(origin: string): Replica {
    let pending = 0;
    for (const replica of this.#replicas.values()) pending += replica.pending;
    if (pending >= MAX_PENDING) throw new HostRefusal('BUSY', `${pending} requests wait here already.`);
    let replica = this.#replicas.get(origin);
    if (replica === undefined) {
      replica = new Replica(origin, this.#options);
      this.#replicas.set(origin, replica);
    }
    return replica;
  }
}
