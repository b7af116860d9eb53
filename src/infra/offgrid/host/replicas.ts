import { LRUCache } from 'lru-cache';
import pLimit, { type LimitFunction } from 'p-limit';
import type { Origin } from '../protocol/fields.js';
import { RefusalError } from './refusal-error.js';
import { Replica, type ReplicaOptions } from './replica.js';

/** Requests of one origin at a time; each may hold a body in memory. */
export const MAX_AT_ONCE = 8;
/** Requests of one origin that wait. */
export const MAX_WAITING = 64;
/** Requests of all origins at a time. */
const MAX_AT_ONCE_IN_ALL = 32;
/** Replicas that keep what they have computed while nobody uses them. */
const MAX_WARM = 16;
/** How long a client is asked to wait when too many wait already, in seconds. */
const BUSY_SECONDS = 1;

interface InUse {
  readonly limit: LimitFunction;
  /** Requests under way or waiting. */
  pending: number;
}

/** The replicas of a host, by origin: one for each, since each takes one change at a time. */
export class Replicas {
  readonly #options: ReplicaOptions;
  /** Those of origins that are in use, or kept here. */
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

  /** Whether nobody is served. */
  get isIdle(): boolean {
    return this.#inUse.size === 0;
  }

  /** The replica of an origin that is kept here, for the host itself: it waits for no request's turn. */
  of(origin: Origin): Replica {
    const replica = this.#replicas.get(origin) ?? new Replica(origin, this.#options);
    this.#replicas.set(origin, replica);
    return replica;
  }

  /** Does something with the replica of an origin, in its turn among the requests. @throws RefusalError BUSY */
  async use<R>(origin: Origin, work: (replica: Replica) => Promise<R>): Promise<R> {
    const inUse = this.#inUse.get(origin) ?? { limit: pLimit(MAX_AT_ONCE), pending: 0 };
    if (inUse.pending >= MAX_AT_ONCE + MAX_WAITING) {
      const message = `${inUse.pending} requests of '${origin}' are under way or wait here already.`;
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
    // Anybody who knows the key may ask for names that nothing is kept of.
    else this.#replicas.delete(origin);
  }
}
