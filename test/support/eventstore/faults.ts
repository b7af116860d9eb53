/** The address of a node. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * A fault of an append:
 * - `dropBefore`, `dropAfter`: every connection is reset, before the append is applied or before it is answered
 * - `timeout`, `timeoutAfter`: the answer is a timeout; the append was not applied, or it was
 * - `unavailable`: the call fails, and so does every other append on its stream
 * - `notLeader`: like `unavailable`, but the error names the leader
 * - `notReady`: only this append is refused
 * - `stallAfter`: the append is applied and never answered
 */
export type AppendFault =
  'dropBefore' | 'dropAfter' | 'timeout' | 'timeoutAfter' | 'unavailable' | 'notLeader' | 'notReady' | 'stallAfter';

/** A fault of a read or a subscription: it fails immediately, or as `broken` after some of its events. */
export type ReadFault = 'unavailable' | 'notLeader' | 'broken';

export interface FaultOptions {
  /** How many calls succeed before the first that fails; 0 by default. */
  readonly after?: number;
  /** The leader that `notLeader` names; that of the cluster by default. */
  readonly leader?: Endpoint;
  /** How many events are delivered before a `broken` stream fails; 1 by default. */
  readonly events?: number;
}

export interface Planned<Fault> {
  readonly fault: Fault;
  readonly leader: Endpoint | undefined;
  readonly events: number;
}

/** The planned faults of one kind of call. */
class Plan<Fault> {
  readonly #queue: (Planned<Fault> | undefined)[] = [];

  add(fault: Fault, times: number, { after = 0, leader, events = 1 }: FaultOptions): void {
    for (let i = 0; i < after; i += 1) this.#queue.push(undefined);
    for (let i = 0; i < times; i += 1) this.#queue.push({ fault, leader, events });
  }

  next(): Planned<Fault> | undefined {
    return this.#queue.shift();
  }

  clear(): void {
    this.#queue.length = 0;
  }
}

/** The faults of the next calls, each applied once, in the order in which they were planned. */
export class Faults {
  readonly #appends = new Plan<AppendFault>();
  readonly #reads = new Plan<ReadFault>();
  readonly #subscriptions = new Plan<ReadFault>();

  /** Plans a fault for the next `times` appends, in either form. */
  onAppend(fault: AppendFault, times = 1, options: FaultOptions = {}): void {
    this.#appends.add(fault, times, options);
  }

  /** Plans a fault for the next `times` reads. */
  onRead(fault: ReadFault, times = 1, options: FaultOptions = {}): void {
    this.#reads.add(fault, times, options);
  }

  /** Plans a fault for the next `times` subscriptions. */
  onSubscribe(fault: ReadFault, times = 1, options: FaultOptions = {}): void {
    this.#subscriptions.add(fault, times, options);
  }

  /** Removes all planned faults. */
  clear(): void {
    for (const plan of [this.#appends, this.#reads, this.#subscriptions]) plan.clear();
  }

  nextAppend(): Planned<AppendFault> | undefined {
    return this.#appends.next();
  }

  nextRead(): Planned<ReadFault> | undefined {
    return this.#reads.next();
  }

  nextSubscription(): Planned<ReadFault> | undefined {
    return this.#subscriptions.next();
  }
}
