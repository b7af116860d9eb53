import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { Time } from '../../platform/clock.js';
import { MAX_BATCH_EVENTS } from '../protocol/batch.js';
import type { ShippedEvent } from '../protocol/event.js';
import type { Sealer } from '../protocol/sealer.js';
import type { Backlog, ShippingState } from './ports.js';

/** The most bytes of envelopes kept for the next host: hosts that keep up receive the same ones. */
const MAX_WINDOW_BYTES = 8 * 1024 * 1024;
/** The most batches kept, as assembled, for the next host. */
const MAX_BATCHES = 4;
/** Events sealed before other work gets a turn: about one millisecond's worth. */
const SLICE = 50;

/** The sealed events of the origin. The newest ones read are kept, so that they are not sealed again for each host. */
export class EnvelopeCache {
  readonly #backlog: Backlog;
  readonly #sealer: Sealer;
  readonly #time: Pick<Time, 'turn'>;
  readonly #known: () => ShippingState;
  /** One read at a time at the end of the window: the next finds what the previous one has read. */
  readonly #inTurn = pLimit(1);
  readonly #batches = new LRUCache<string, readonly ShippedEvent[]>({ max: MAX_BATCHES });
  #events: ShippedEvent[] = [];
  #bytes = 0;

  constructor(backlog: Backlog, sealer: Sealer, time: Pick<Time, 'turn'>, known: () => ShippingState) {
    this.#backlog = backlog;
    this.#sealer = sealer;
    this.#time = time;
    this.#known = known;
  }

  /**
   * The events after a sequence, at most `maxEvents` and, beyond the first, `maxBytes`; empty when there are no more.
   * Hosts that keep up receive the same list.
   */
  async take(after: number, maxEvents: number, maxBytes: number): Promise<readonly ShippedEvent[]> {
    const events = this.#kept(after) ?? (await this.#inTurn(() => this.#read(after)));
    const count = countWithin(events, maxEvents, maxBytes);
    const name = `${after} ${count}`;
    const batch = this.#batches.get(name) ?? events.slice(0, count);
    this.#batches.set(name, batch);
    return batch;
  }

  async #read(after: number): Promise<readonly ShippedEvent[]> {
    const kept = this.#kept(after);
    if (kept !== undefined) return kept;
    // One snapshot of the state: which key seals an event depends on the events before it.
    const known = this.#known();
    const limit = Math.min(MAX_BATCH_EVENTS, known.head - after);
    if (limit <= 0) return [];
    const sealed: ShippedEvent[] = [];
    for (const [i, event] of (await this.#backlog.events(after, limit)).entries()) {
      if (i > 0 && i % SLICE === 0) await this.#time.turn();
      sealed.push(this.#sealer.shipped(event, known));
    }
    this.#keep(sealed);
    return sealed;
  }

  #kept(after: number): readonly ShippedEvent[] | undefined {
    const first = this.#events[0]?.sequence ?? Infinity;
    const index = after + 1 - first;
    return index >= 0 && index < this.#events.length ? this.#events.slice(index, index + MAX_BATCH_EVENTS) : undefined;
  }

  /** An event that continues the window extends it; one beyond it begins a new window; one before it is not kept. */
  #keep(sealed: readonly ShippedEvent[]): void {
    const [next] = sealed;
    const last = this.#events.at(-1)?.sequence;
    if (next === undefined || (last !== undefined && next.sequence <= last)) return;
    if (last !== undefined && next.sequence > last + 1) {
      this.#events = [];
      this.#bytes = 0;
    }
    this.#events.push(...sealed);
    this.#bytes += bytesOf(sealed);
    let dropped = 0;
    for (const { sealed: envelope } of this.#events) {
      if (this.#bytes <= MAX_WINDOW_BYTES) break;
      this.#bytes -= envelope?.byteLength ?? 0;
      dropped += 1;
    }
    if (dropped > 0) this.#events = this.#events.slice(dropped);
  }
}

function countWithin(events: readonly ShippedEvent[], maxEvents: number, maxBytes: number): number {
  let bytes = 0;
  let count = 0;
  for (const { sealed } of events) {
    bytes += sealed?.byteLength ?? 0;
    if (count >= maxEvents || (count > 0 && bytes > maxBytes)) break;
    count += 1;
  }
  return count;
}

function bytesOf(events: readonly ShippedEvent[]): number {
  return events.reduce((sum, { sealed }) => sum + (sealed?.byteLength ?? 0), 0);
}
