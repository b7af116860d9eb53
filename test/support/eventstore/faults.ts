/** Where a node is to be found. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/**
 * What may go wrong with an append:
 * - `dropBefore`, `dropAfter`: every connection is torn, before it is applied or before it is answered
 * - `timeout`, `timeoutAfter`: it is said to have timed out; it was not applied, or it was
 * - `unavailable`: the call fails; so does each other append on its stream
 * - `notLeader`: as that, naming the leader
 * - `notReady`: this one append is refused
 * - `stallAfter`: it is applied, and never answered
 */
export type AppendFault =
  'dropBefore' | 'dropAfter' | 'timeout' | 'timeoutAfter' | 'unavailable' | 'notLeader' | 'notReady' | 'stallAfter';

/** What may go wrong with a read or a subscription: it fails at once, or as `broken` after some of its events. */
export type ReadFault = 'unavailable' | 'notLeader' | 'broken';

export interface FaultOptions {
  /** How many are well before the first that is not; 0 unless told. */
  readonly after?: number;
  /** The leader that `notLeader` names; the one of the cluster unless told. */
  readonly leader?: Endpoint;
  /** How many events are delivered before a `broken` stream fails; 1 unless told. */
  readonly events?: number;
}

export interface Planned<Fault> {
  readonly fault: Fault;
  readonly leader: Endpoint | undefined;
  readonly events: number;
}

/** The faults still to come of one kind of call. */
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

/** What is to go wrong with the next calls, each once; those planned later come after those planned before. */
export class Faults {
  readonly #appends = new Plan<AppendFault>();
  readonly #reads = new Plan<ReadFault>();
  readonly #subscriptions = new Plan<ReadFault>();

  /** Of the next appends, in either form, so many. */
  onAppend(fault: AppendFault, times = 1, options: FaultOptions = {}): void {
    this.#appends.add(fault, times, options);
  }

  /** Of the next reads, so many. */
  onRead(fault: ReadFault, times = 1, options: FaultOptions = {}): void {
    this.#reads.add(fault, times, options);
  }

  /** Of the next subscriptions, so many. */
  onSubscribe(fault: ReadFault, times = 1, options: FaultOptions = {}): void {
    this.#subscriptions.add(fault, times, options);
  }

  /** Nothing goes wrong any more. */
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
