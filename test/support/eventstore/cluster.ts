import type { Endpoint } from './faults.js';
import type { Store } from './store.js';

export type Role = 'leader' | 'follower';

/** A node as the other nodes see it. */
export interface Member {
  readonly id: string;
  readonly role: Role;
  readonly endpoint: Endpoint;
  /** Whether it can be reached. */
  readonly isAlive: boolean;
}

const clusters = new WeakMap<Store, Cluster>();

/** The nodes that share a store. */
export class Cluster {
  readonly #members = new Set<Member>();

  static of(store: Store): Cluster {
    let cluster = clusters.get(store);
    if (cluster === undefined) clusters.set(store, (cluster = new Cluster()));
    return cluster;
  }

  get members(): ReadonlySet<Member> {
    return this.#members;
  }

  get leader(): Member | undefined {
    return [...this.#members].find(({ role, isAlive }) => role === 'leader' && isAlive);
  }

  join(member: Member): void {
    this.#members.add(member);
  }

  leave(member: Member): void {
    this.#members.delete(member);
  }
}
