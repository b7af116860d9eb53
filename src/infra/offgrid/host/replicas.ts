import { LRUCache } from 'lru-cache';
import pLimit, { type LimitFunction } from 'p-limit';
import type { Origin } from '../protocol/fields.js';
import { RefusalError } from './refusal-error.js';
import { Replica, type ReplicaOptions } from './replica.js';

/** The maximum number of concurrent requests of one origin; each may hold a body in memory. */
export const MAX_AT_ONCE = 8;
/** The maximum number of waiting requests of one origin. */
export const MAX_WAITING = 64;
/** The maximum number of concurrent requests of all origins. */
const MAX_AT_ONCE_IN_ALL = 32;
/** The maximum number of unused replicas that keep their computed state. */
const MAX_WARM = 16;
/** The `wait` of BUSY, in seconds. */
const BUSY_SECONDS = 1;

interface InUse {
  readonly limit: LimitFunction;
  /** The number of requests in progress or waiting. */
  pending: number;
}

/** The replicas of a host. There is one per origin, because a replica makes one change at a time. */
export class Replicas {
  readonly #options: ReplicaOptions;
  /** The replicas of origins that are in use or known. */
  readonly #replicas = new Map<Origin, Replica>();
  readonly #inUse = new Map<Origin, InUse>();
  readonly #warm = new LRUCache<Origin, Replica>({
    max: MAX_WARM,
    dispose: (replica) => {
      replica.rest();
    },
  });
  readonly #inAll = pLimit(MAX_AT_ONCE_IN_ALL);

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Whether no request is in progress or waiting. */
  get isIdle(): boolean {
    return this.#inUse.size === 0;
  }

  /** The replica of a known origin, for the host's own use, without waiting for a turn among the requests. */
  of(origin: Origin): Replica {
    const replica = this.#replicas.get(origin) ?? new Replica(origin, this.#options);
    this.#replicas.set(origin, replica);
    return replica;
  }

  /** Runs work on the replica of an origin, in its turn among the requests. @throws RefusalError BUSY */
  async use<R>(origin: Origin, work: (replica: Replica) => Promise<R>): Promise<R> {
    const inUse = this.#inUse.get(origin) ?? { limit: pLimit(MAX_AT_ONCE), pending: 0 };
    if (inUse.pending >= MAX_AT_ONCE + MAX_WAITING) {
      const message = `${inUse.pending} requests of '${origin}' are in progress or waiting already.`;
      throw new RefusalError({ code: 'BUSY', message, wait: BUSY_SECONDS });
    }
    this.#inUse.set(origin, inUse);
    inUse.pending += 1;
    const replica = this.of(origin);
    try {
      return await inUse.limit(() => this.#inAll(() => work(replica)));
    } finally {
      inUse.pending -= 1;
      if (inUse.pending === 0) this.#leave(origin, replica);
    }
  }

  #leave(origin: Origin, replica: Replica): void {
    this.#inUse.delete(origin);
    if (replica.isKept) this.#warm.set(origin, replica);
    // Otherwise a client with the key could fill the map with names of unknown origins.
    else this.#replicas.delete(origin);
  }
}
