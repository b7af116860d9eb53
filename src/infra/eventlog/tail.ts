import type { RecordedEvent } from '../../domain/event.js';
import { Nudge } from '../platform/nudge.js';
import type { EventBatch, EventFilter, EventPlace } from './eventlog.js';
import { matches } from './filter.js';

/** The most events that a tail keeps in memory. */
const MAX_TAIL_EVENTS = 1_024;
/** The most bytes (estimated) of events that a tail keeps in memory. */
const MAX_TAIL_BYTES = 8 * 1024 * 1024;

/** An event with its size in memory, estimated in bytes. */
export interface SizedEvent {
  readonly event: RecordedEvent;
  readonly bytes: number;
}

/** Consecutive events of a log, in order, with their sizes. */
export interface Page {
  readonly events: readonly SizedEvent[];
  /** Every event up to this position has been read. */
  readonly through: bigint;
  /** The last of them, whether the page contains it or not. */
  readonly last?: EventPlace | undefined;
  /** Whether `through` was the end of the log. */
  readonly live: boolean;
}

/**
 * The newest events of a log, read once and shared by all live readers. A reader that falls behind the tail reads the log
 * until it has caught up, so a slow reader costs the tail nothing.
 */
export class Tail {
  #events: SizedEvent[] = [];
  #bytes = 0;
  /** The tail contains every event after this position, up to `#to`. */
  #from: bigint;
  #to: bigint;
  /** The log is known to extend at least this far. */
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

  /** How often it has been reset. */
  get resets(): number {
    return this.#resets;
  }

  /** Empties the tail and starts it at a position, while it has no readers. The result of a read in progress is discarded. */
  reset(position: bigint): void {
    this.#resets += 1;
    this.#events = [];
    this.#bytes = 0;
    this.#from = position;
    this.#to = position;
    this.#expected = position;
  }

  /** Notes that the log extends at least this far: a reader before this position is not live. */
  expect(position: bigint): void {
    if (position > this.#expected) this.#expected = position;
  }

  /** Whether the tail has every event after a position. */
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

  /** The next batch for a reader at a position that the tail covers. At the end of the log it is empty and `live`. */
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

  /** Resolves when the tail has grown beyond a position, when `wake` is called, or when the signal aborts. */
  changed(position: bigint, signal: AbortSignal): Promise<void> {
    if (this.#to > position || signal.aborted) return Promise.resolve();
    return this.#nudge.wait(signal);
  }

  /** Wakes all waiting readers although there are no new events. */
  wake(): void {
    this.#nudge.notify();
  }

  /** Adds the next events of the log, up to a position. */
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

/** A tail that reads new events from the log when `refresh` is called. */
export class ReadTail extends Tail {
  readonly #read: (after: bigint) => Promise<Page>;
  #refreshing: Promise<void> | undefined;
  #again = false;

  /** @param read reads the next events after a position */
  constructor(start: bigint, read: (after: bigint) => Promise<Page>) {
    super(start);
    this.#read = read;
  }

  /**
   * Reads the new events of a log that may have grown, one read at a time, and wakes waiting readers. A failed read wakes
   * them too: they find that the tail has not advanced, read the file themselves, and get the error.
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
