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
/** Replicas that are remembered while nobody uses them: they would have to be verified anew. */
const MAX_REMEMBERED = 16;
/** How long a client is asked to wait when too many wait already, in seconds. */
const BUSY_SECONDS = 1;

interface InUse {
  readonly replica: Replica;
  readonly limit: LimitFunction;
  /** Requests under way or waiting. */
  pending: number;
}

/** The replicas of a host, by origin. Those that nobody uses are forgotten sooner or later: what they know is in the store. */
export class Replicas {
  readonly #options: ReplicaOptions;
  readonly #inUse = new Map<Origin, InUse>();
  readonly #remembered = new LRUCache<Origin, Replica>({ max: MAX_REMEMBERED });
  readonly #inAll = pLimit(MAX_AT_ONCE_IN_ALL);

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Whether nobody is served. */
  get isIdle(): boolean {
    return this.#inUse.size === 0;
  }

  /** Does something with the replica of an origin, in its turn among the requests. @throws RefusalError BUSY */
  async use<R>(origin: Origin, work: (replica: Replica) => Promise<R>): Promise<R> {
    const inUse = this.#inUse.get(origin) ?? {
      replica: this.#remembered.get(origin) ?? new Replica(origin, this.#options),
      limit: pLimit(MAX_AT_ONCE),
      pending: 0,
    };
    if (inUse.pending >= MAX_AT_ONCE + MAX_WAITING) {
      const message = `${inUse.pending} requests of '${origin}' are under way or wait here already.`;
      throw new RefusalError({ code: 'BUSY', message, wait: BUSY_SECONDS });
    }
    this.#inUse.set(origin, inUse);
    inUse.pending += 1;
    try {
      return await inUse.limit(() => this.#inAll(() => work(inUse.replica)));
    } finally {
      inUse.pending -= 1;
      if (inUse.pending === 0) {
        this.#inUse.delete(origin);
        this.#remembered.set(origin, inUse.replica);
      }
    }
  }
}
