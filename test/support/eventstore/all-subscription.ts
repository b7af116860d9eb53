/**
 * A subscription to `$all`: catches up page by page, then follows new records, until its client is so slow that it has
 * to catch up again. From 24.2 the server moves both ways, and a filtered subscription gets a checkpoint each time it
 * goes live; older servers catch up only once.
 *
 * A filtered subscription gets a checkpoint whenever the number of records in its interval has been examined: at the end
 * of a page while it catches up, and at the record itself while it is live. Live records are counted from the beginning
 * of the subscription, or by older servers from the previous checkpoint.
 */
import { readForwards } from './all-pages.js';
import { PAGE_SIZE, type Filter } from './filter.js';
import { Growth } from './growth.js';
import type { Node } from './node.js';
import type { Outlet } from './outlet.js';
import { at, compare, START, type Position } from './position.js';
import type { StoredRecord } from './record.js';

/** A live subscription that has more than this to deliver catches up again. */
export const LIVE_BUFFER = 32;

const FIRST_RECORD: Position = { commit: 0n, prepare: 0n };

export class AllSubscription {
  readonly #node: Node;
  readonly #outlet: Outlet;
  readonly #filter: Filter | undefined;
  readonly #growth: Growth;
  /** The ordinal from which live records are counted towards a checkpoint. */
  #countedFrom: number;
  /** The position of the last event or checkpoint sent; nothing at or before it is sent. */
  #sent: Position = START;
  #sentCheckpoint: Position = START;

  constructor(node: Node, outlet: Outlet, filter: Filter | undefined) {
    this.#node = node;
    this.#outlet = outlet;
    this.#filter = filter;
    this.#growth = new Growth(node.store, outlet);
    this.#countedFrom = node.store.ordinal;
  }

  async run(id: string, after: Position | 'start' | 'end'): Promise<void> {
    const { store, version } = this.#node;
    const head = at(store.head);
    await this.#outlet.confirm(id);
    this.#sent = after === 'start' ? START : after === 'end' ? head : after;
    if (compare(this.#sent, head) < 0) await this.#catchUp();
    // An older server ignores a position beyond its end: the client knows of events that it does not have.
    else if (!version.movesBothWays) this.#sent = head;
    for (;;) {
      await this.#goLive();
      if (this.#outlet.isOver) return;
      await this.#catchUp();
    }
  }

  async #catchUp(): Promise<void> {
    const { store, version } = this.#node;
    const { searchWindow = Infinity, checkpointInterval = Infinity, allows = () => true } = this.#filter ?? {};
    let position = this.#sent;
    let considered = 0;
    while (!this.#outlet.isOver) {
      const { ordinal } = store;
      const page = readForwards(store, position, { maxCount: PAGE_SIZE, searchWindow, allows });
      for (const record of page.records) {
        const wait = this.#deliver(record);
        if (wait !== undefined) await wait;
      }
      if (compare(this.#sent, page.current) < 0 && compare(page.current, page.next) < 0) this.#sent = page.current;
      considered += page.considered;
      if (page.isEnd) {
        if (compare(this.#sent, FIRST_RECORD) < 0) this.#sent = FIRST_RECORD;
        if (version.movesBothWays) await this.#checkpoint(this.#sent);
        // An older server continues its count.
        else this.#countedFrom = ordinal - considered;
        return;
      }
      if (considered >= checkpointInterval) {
        considered %= checkpointInterval;
        await this.#checkpoint(this.#sent);
      }
      position = page.next;
    }
  }

  /** Returns when the subscription is over or has fallen behind. */
  async #goLive(): Promise<void> {
    const { version } = this.#node;
    if (version.saysCaughtUp) await this.#outlet.caughtUp();
    let cursor = this.#sent.commit;
    while (!this.#outlet.isOver) {
      const wait = this.#follow(cursor, (seen) => (cursor = seen + 1n));
      if (wait === undefined) {
        await this.#growth.more();
        continue;
      }
      await wait;
      if (version.movesBothWays && this.#isBehind(cursor)) {
        await this.#checkpoint(this.#sent);
        return;
      }
    }
  }

  /** Whether there is more to deliver than the server would buffer. */
  #isBehind(cursor: bigint): boolean {
    const { events } = this.#node.store;
    let waiting = 0;
    for (let index = this.#node.store.indexFrom(cursor); waiting <= LIVE_BUFFER; index += 1) {
      const record = events[index];
      if (record === undefined) return false;
      if (this.#filter?.allows(record) !== false) waiting += 1;
    }
    return true;
  }

  /** Delivers from a position on until the end (then it returns nothing) or until the client takes no more. */
  #follow(from: bigint, see: (position: bigint) => void): Promise<void> | undefined {
    const { store } = this.#node;
    for (let index = store.indexFrom(from); ; index += 1) {
      const record = store.events[index];
      if (record === undefined) return undefined;
      see(record.position);
      const [event, checkpoint] = [this.#deliver(record), this.#checkpointAt(record)];
      const wait = checkpoint ?? event;
      if (wait !== undefined) return wait;
    }
  }

  #deliver(record: StoredRecord): Promise<void> | undefined {
    const position = at(record.position);
    if (compare(position, this.#sent) <= 0 || this.#filter?.allows(record) === false) return undefined;
    this.#sent = position;
    return this.#outlet.event(record);
  }

  /** The live checkpoint that is due at a record, if one is. */
  #checkpointAt(record: StoredRecord): Promise<void> | undefined {
    const position = at(record.position);
    const counted = record.ordinal - this.#countedFrom;
    const isDue = this.#filter !== undefined && counted > 0 && counted % this.#filter.checkpointInterval === 0;
    if (!isDue || compare(position, this.#sent) < 0) return undefined;
    this.#sent = position;
    return this.#checkpoint(position);
  }

  #checkpoint(position: Position): Promise<void> | undefined {
    if (this.#filter === undefined) return undefined;
    const checkpoint = this.#node.checkpointsAtEnd ? { commit: this.#node.store.end, prepare: 0n } : position;
    if (compare(checkpoint, this.#sentCheckpoint) <= 0) return undefined;
    this.#sentCheckpoint = checkpoint;
    return this.#outlet.checkpoint(checkpoint);
  }
}
