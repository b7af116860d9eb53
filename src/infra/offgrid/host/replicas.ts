import { HostRefusal } from './problems.js';
import { Replica, type ReplicaOptions } from './replica.js';

/** The most requests of all origins under way or waiting. */
const MAX_PENDING = 64;

interface InUse {
  readonly replica: Replica;
  /** Requests under way or waiting. */
  pending: number;
}

/** The replicas of a host, by origin. Those that nobody uses are forgotten: what they know is in the store. */
export class Replicas {
  readonly #options: ReplicaOptions;
  readonly #inUse = new Map<string, InUse>();
  #pending = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Does something with the replica of an origin. @throws HostRefusal BUSY */
  async use<R>(origin: string, work: (replica: Replica) => Promise<R>): Promise<R> {
    if (this.#pending >= MAX_PENDING)
      throw new HostRefusal('BUSY', `${this.#pending} requests are under way or wait here already.`);
    const inUse = this.#inUse.get(origin) ?? { replica: new Replica(origin, this.#options), pending: 0 };
    this.#inUse.set(origin, inUse);
    this.#pending += 1;
    inUse.pending += 1;
    try {
      return await work(inUse.replica);
    } finally {
      this.#pending -= 1;
      inUse.pending -= 1;
      if (inUse.pending === 0) this.#inUse.delete(origin);
    }
  }
}
