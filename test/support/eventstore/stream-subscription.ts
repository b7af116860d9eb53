import { LIVE_BUFFER } from './all-subscription.js';
import { streamDeleted } from './errors.js';
import { PAGE_SIZE } from './filter.js';
import { Growth } from './growth.js';
import type { Node } from './node.js';
import type { Outlet } from './outlet.js';
import { DELETED_REVISION, type StoredRecord } from './record.js';

/** A subscription to one stream, which may not exist yet. It fails when the stream gets a tombstone. */
export class StreamSubscription {
  readonly #node: Node;
  readonly #outlet: Outlet;
  readonly #stream: string;
  readonly #growth: Growth;
  /** The revision sent last. */
  #sent = -1n;

  constructor(node: Node, outlet: Outlet, stream: string) {
    this.#node = node;
    this.#outlet = outlet;
    this.#stream = stream;
    this.#growth = new Growth(node.store, outlet);
  }

  async run(id: string, after: bigint | 'end'): Promise<void> {
    const { version } = this.#node;
    const last = this.#last;
    await this.#outlet.confirm(id);
    this.#sent = after === 'end' ? last : after;
    if (this.#sent < last) await this.#catchUp();
    else if (!version.movesBothWays) this.#sent = last;
    for (;;) {
      if (version.saysCaughtUp) await this.#outlet.caughtUp();
      await this.#follow();
      if (this.#outlet.isOver) return;
      await this.#catchUp();
    }
  }

  get #last(): bigint {
    return this.#node.store.streams.get(this.#stream)?.lastRevision ?? -1n;
  }

  async #catchUp(): Promise<void> {
    const { store } = this.#node;
    if (store.stateOf(this.#stream) === 'tombstoned') throw streamDeleted(this.#stream);
    while (!this.#outlet.isOver && store.stateOf(this.#stream) === 'readable') {
      const first = store.streams.get(this.#stream)?.firstReadable(store.limitsOf(this.#stream)) ?? 0n;
      if (this.#sent < first - 1n) this.#sent = first - 1n;
      const [from, last] = [this.#sent + 1n, this.#last];
      const end = from + BigInt(PAGE_SIZE) - 1n;
      for (let revision = from; revision <= last && revision <= end; revision += 1n) {
        const wait = this.#deliver(revision);
        if (wait !== undefined) await wait;
      }
      if (end >= last) return;
    }
  }

  /** Returns when the subscription is over or has fallen behind. */
  async #follow(): Promise<void> {
    while (!this.#outlet.isOver) {
      if (this.#last <= this.#sent) {
        await this.#growth.more();
        continue;
      }
      const next = this.#sent + 1n;
      const isTombstone = this.#last === DELETED_REVISION && this.#recordAt(next) === undefined;
      const wait = this.#deliver(isTombstone ? DELETED_REVISION : next);
      if (wait === undefined) continue;
      await wait;
      if (!isTombstone && this.#last - this.#sent > LIVE_BUFFER && this.#node.version.movesBothWays) return;
    }
  }

  #recordAt(revision: bigint): StoredRecord | undefined {
    return this.#node.store.streams.get(this.#stream)?.at(revision);
  }

  #deliver(revision: bigint): Promise<void> | undefined {
    this.#sent = revision;
    const record = this.#recordAt(revision);
    const wait = record === undefined ? undefined : this.#outlet.event(record);
    if (revision === DELETED_REVISION) this.#outlet.fail(streamDeleted(this.#stream));
    return wait;
  }
}
