import { HostRefusal } from '../../src/infra/offgrid/host/problems.js';
import type {
  ReplicaChange,
  ReplicaStore,
  StoredAddress,
  StoredReplica,
} from '../../src/infra/offgrid/host/replica-store.js';
import type { AddressedEvent } from '../../src/infra/offgrid/wire/batch.js';
import type { SignedGrant } from '../../src/infra/offgrid/wire/claim.js';
import type { Random } from '../support/random.js';
import { pause, type Life, type VirtualClock } from './virtual-time.js';

/** An event as a disk has it. */
export interface DiskEvent extends AddressedEvent {
  readonly epoch: number;
}

/** What a disk does to those who write. */
export interface DiskFaults {
  /** Whether there is no room now. */
  isFull: boolean;
  /** How often a write fails though there is room. */
  failure: number;
  /** The longest that a write takes, in milliseconds. */
  maxDelayMs: number;
}

/** The disk of a host: what is on it survives the host. */
export class Disk {
  readonly faults: DiskFaults = { isFull: false, failure: 0, maxDelayMs: 5 };
  replica: StoredReplica | undefined;
  events: DiskEvent[] = [];
  readonly setAside: DiskEvent[] = [];
  readonly forks: AddressedEvent[] = [];
}

/** A host's store on its disk, for as long as the host lives. A write comes whole onto the disk, or not at all. */
export class DiskStore implements ReplicaStore {
  readonly #disk: Disk;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #life: Life;

  constructor(disk: Disk, clock: VirtualClock, random: Random, life: Life) {
    this.#disk = disk;
    this.#clock = clock;
    this.#random = random;
    this.#life = life;
  }

  load(): Promise<StoredReplica | undefined> {
    return Promise.resolve(this.#disk.replica);
  }

  grant(_origin: string, key: string, grant: SignedGrant): Promise<void> {
    return this.#write(() => {
      this.#disk.replica = { ...(this.#disk.replica ?? { sequence: 0, epoch: 0, peaks: [] }), key, grant };
    });
  }

  write(_origin: string, { setAsideFrom, reshipped, added, epoch, head }: ReplicaChange): Promise<void> {
    return this.#write(() => {
      const disk = this.#disk;
      if (disk.replica === undefined) throw new Error('events come before a grant');
      if (setAsideFrom !== undefined) disk.setAside.push(...disk.events.splice(setAsideFrom - 1));
      for (const event of [...reshipped, ...added]) disk.events[event.sequence - 1] = { ...event, epoch };
      disk.replica = { ...disk.replica, ...head, peaks: [...head.peaks] };
    });
  }

  keepFork(_origin: string, _epoch: number, events: readonly AddressedEvent[]): Promise<void> {
    return this.#write(() => void this.#disk.forks.push(...events));
  }

  addresses(_origin: string, from: number, to: number): Promise<readonly StoredAddress[]> {
    return Promise.resolve(this.#disk.events.slice(from - 1, to));
  }

  events(_origin: string, after: number, limit: number): Promise<readonly AddressedEvent[]> {
    return Promise.resolve(this.#disk.events.slice(after, after + limit));
  }

  async #write(change: () => void): Promise<void> {
    const { faults } = this.#disk;
    await pause(this.#clock, this.#random.between(0, faults.maxDelayMs), this.#life);
    if (faults.isFull || this.#random.chance(faults.failure)) throw new HostRefusal('FULL', 'The disk is full.');
    change();
    // A host may die between writing and saying so.
    await pause(this.#clock, this.#random.between(0, 1), this.#life);
  }
}
