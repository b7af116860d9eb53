import type { RecordedEvent } from '../../domain/event.js';
import { Nudge } from '../platform/nudge.js';
import type { EventBatch, EventFilter, EventPlace } from './eventlog.js';
import { matches } from './filter.js';

/** The most events kept in memory for live readers. */
const MAX_TAIL_EVENTS = 1_024;
/** The most bytes (estimated) of events kept in memory. */
const MAX_TAIL_BYTES = 8 * 1024 * 1024;

/** An event with its size in memory, estimated in bytes. */
export interface SizedEvent {
  readonly event: RecordedEvent;
  readonly bytes: number;
}

/** A piece of a log, in order. */
export interface Page {
  readonly events: readonly SizedEvent[];
  /** Every event up to here has been read. */
  readonly through: bigint;
  /** The last of them, whether it is in the piece or not. */
  readonly last?: EventPlace | undefined;
  /** Whether that was the end of the log. */
  readonly live: boolean;
}

/**
 * The newest events of a log, taken from it once and shared by every live reader. A reader that falls out of the tail
 * reads the log itself until it is back, so a slow one costs nothing here.
 */
export class Tail {
  #events: SizedEvent[] = [];
  #bytes = 0;
  /** Everything after this position, up to `#to`, is in the tail. */
  #from: bigint;
  #to: bigint;
  /** The log is known to go at least this far. */
  #expected: bigint;
  readonly #nudge = new Nudge();
  #resets = 0;

  constructor(start: bigint) {
    this.#from = start;
    this.#to = start;
    this.#expected = start;
  }

  /** The position this tail has read up to. */
  get to(): bigint {
    return this.#to;
  }

  /** How often it has started anew. */
  get resets(): number {
    return this.#resets;
  }

  /** Starts anew at a position; for when nobody reads. What is being read is discarded. */
  reset(position: bigint): void {
    this.#resets += 1;
    this.#events = [];
    this.#bytes = 0;
    this.#from = position;
    this.#to = position;
    this.#expected = position;
  }

  /** Says that the log goes at least this far: a reader is not at its end before. */
  expect(position: bigint): void {
    if (position > this.#expected) this.#expected = position;
  }

  /** Drops what is in memory, for the file no longer says the same. Who needs it reads the file. */
  forget(): void {
    this.reset(this.#to);
  }

  covers(position: bigint): boolean {
    return position >= this.#from;
  }

  /** The events after a position that the tail covers. */
  after(position: bigint, limit: number): RecordedEvent[] {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.event.position ?? 0n) <= position) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low, low + limit).map(({ event }) => event);
  }

  /** What a reader at a position that the tail covers is given next: nothing new, and `live`, when it is at the end. */
  batch(cursor: bigint, filter: EventFilter | undefined, batchSize: number): EventBatch {
    const end = this.#to;
    const events = this.after(cursor, batchSize);
    const last = events.at(-1);
    const through = events.length === batchSize && last !== undefined ? last.position : end;
    return {
      events: filter === undefined ? events : events.filter((event) => matches(filter, event)),
      through: through > cursor ? through : cursor,
      last,
      live: through >= end && through >= this.#expected,
    };
  }

  /** Waits until the tail has grown beyond a position, somebody wakes those who wait, or the signal. */
  changed(position: bigint, signal: AbortSignal): Promise<void> {
    if (this.#to > position || signal.aborted) return Promise.resolve();
    return this.#nudge.wait(signal);
  }

  /** Wakes everyone who waits, although nothing is new. */
  wake(): void {
    this.#nudge.notify();
  }

  /** Takes what comes next, up to a position. */
  append(events: readonly SizedEvent[], to: bigint): void {
    for (const sized of events) {
      this.#events.push(sized);
      this.#bytes += sized.bytes;
    }
    let drop = 0;
    while (this.#events.length - drop > MAX_TAIL_EVENTS || this.#bytes > MAX_TAIL_BYTES) {
      const oldest = this.#events[drop];
      if (oldest === undefined) break;
      this.#bytes -= oldest.bytes;
      this.#from = oldest.event.position;
      drop += 1;
    }
    if (drop > 0) this.#events.splice(0, drop);
    this.#to = to;
    this.#nudge.notify();
  }
}

/** A tail that reads the log itself when it is told that there is more. */
export class ReadTail extends Tail {
  readonly #read: (after: bigint) => Promise<Page>;
  #refreshing: Promise<void> | undefined;
  #again = false;

  /** @param read the next events after a position */
  constructor(start: bigint, read: (after: bigint) => Promise<Page>) {
    super(start);
    this.#read = read;
  }

  /**
   * Says that the log may have grown. Reads what is new, one read at a time, and wakes the waiting. A failing read wakes
   * them too: they find the tail no further, read the file themselves, and meet the error.
   */
  refresh(): Promise<void> {
    if (this.#refreshing !== undefined) {
      this.#again = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#catchUp()
      .catch(() => {
        this.wake();
      })
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  async #catchUp(): Promise<void> {
    let live = false;
    do {
      this.#again = false;
      const resets = this.resets;
      const page = await this.#read(this.to);
      live = page.live && resets === this.resets;
      if (resets === this.resets && page.through > this.to) this.append(page.events, page.through);
    } while (this.#again || !live);
  }
}
