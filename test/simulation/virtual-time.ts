import type { Time } from '../../src/infra/platform/clock.js';
import type { Random } from '../support/random.js';

/** Something that will happen. */
interface Entry {
  readonly at: number;
  /** Decides between entries of the same instant. */
  readonly tie: number;
  readonly order: number;
  action: (() => void) | undefined;
}

/** Virtual time at which a run begins, in milliseconds: a day of 2031. */
const START_MS = Date.UTC(2031, 4, 1);

/**
 * A clock that stands still until everything that can happen at an instant has happened, and then advances to the next
 * instant at which something will. The seed decides the order of what happens at one instant.
 */
export class VirtualClock {
  readonly #random: Random;
  readonly #heap: Entry[] = [];
  #now = START_MS;
  #order = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Milliseconds since 1970. */
  get now(): number {
    return this.#now;
  }

  /** Calls `action` after a number of milliseconds. Returns a function that cancels it. */
  after(ms: number, action: () => void): () => void {
    this.#order += 1;
    const entry: Entry = { at: this.#now + ms, tie: this.#random.next(), order: this.#order, action };
    this.#push(entry);
    return () => {
      entry.action = undefined;
    };
  }

  /**
   * Lets time pass, for a number of milliseconds or until there is nothing to wait for.
   * @param isOver checked at each step
   */
  async run(ms: number, isOver: () => boolean = () => false): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      if (isOver()) return;
      const next = this.#heap[0];
      if (next === undefined || next.at > end) break;
      this.#pop();
      const { action } = next;
      if (action === undefined) continue;
      this.#now = next.at;
      action();
    }
    this.#now = end;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  if (a.at !== b.at) return a.at < b.at;
  return a.tie === b.tie ? a.order < b.order : a.tie < b.tie;
}

/** Resolves once no promise can continue without time passing: Node runs a tick only after every microtask. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}

/** The life of a process: once it is over, what the process waited for never arrives. */
export interface Life {
  readonly isOver: boolean;
}

/** Resolves after a while, immediately after none, unless the process that waits has died. */
export function pause(clock: VirtualClock, ms: number, life: Life): Promise<void> {
  if (ms === 0 && !life.isOver) return Promise.resolve();
  return new Promise((resolve) => {
    clock.after(ms, () => {
      if (!life.isOver) resolve();
    });
  });
}

/** The time of one core. @param skewMs how far its clock is ahead */
export class VirtualTime implements Time {
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #life: Life;
  readonly #skewMs: number;

  constructor(clock: VirtualClock, random: Random, life: Life, skewMs = 0) {
    this.#clock = clock;
    this.#random = random;
    this.#life = life;
    this.#skewMs = skewMs;
  }

  now(): Date {
    return new Date(this.#clock.now + this.#skewMs);
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        callOff();
        signal.removeEventListener('abort', wake);
        if (!this.#life.isOver) resolve();
      };
      const callOff = this.#clock.after(ms, wake);
      signal.addEventListener('abort', wake);
    });
  }

  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(0, () => {
        if (!this.#life.isOver) resolve();
      });
    });
  }

  random(): number {
    return this.#random.next();
  }
}
