/** Rows read at a time. A paused reader keeps this many in memory, and a row may have tens of KiB. */
const PAGE_ROWS = 100;
/** The most pages shared between readers; one for each distinct position they are at. */
const MAX_SHARED_PAGES = 64;

/** What a feed needs of the projection whose rows it reads. */
interface Commits {
  /** The position up to which everything can be read. */
  readonly position: bigint;
  /** Waits for the next commit, or until the signal is aborted. */
  committed(signal: AbortSignal): Promise<void>;
}

/** A row that changed, with the position of its last change. */
export interface Changed<V> {
  readonly position: bigint;
  readonly value: V;
}

/** Reads the rows changed after a position, in order of their positions, at most `limit`. */
export type ReadChanges<V, F> = (after: bigint, filter: F | undefined, limit: number) => Promise<readonly Changed<V>[]>;

interface Page<V> {
  readonly changes: readonly Changed<V>[];
  /** The position up to which all changes have been delivered. */
  readonly through: bigint;
}

/**
 * The changes of one table's rows after any position: first each row changed since then, then changes as they are committed.
 * It is state-based: a reader that falls behind gets the latest state of a row rather than a queue of old ones, so a slow
 * reader costs no memory. Readers at the same position share one read, and the same objects.
 */
export class ChangeFeed<V, F> {
  readonly #projection: Commits;
  readonly #read: ReadChanges<V, F>;
  readonly #matches: (filter: F, value: V) => boolean;
  #pages = new Map<bigint, Promise<Page<V>>>();
  #pagesOf = -1n;

  constructor(projection: Commits, read: ReadChanges<V, F>, matches: (filter: F, value: V) => boolean) {
    this.#projection = projection;
    this.#read = read;
    this.#matches = matches;
  }

  /** Follows the changes after a position until the signal is aborted. */
  async *changes(after: bigint, filter: F | undefined, signal: AbortSignal): AsyncIterable<V> {
    let cursor = after;
    // With a filter, earlier changes are read through it, because an index may help. New changes are read once for all readers.
    for (let full = filter !== undefined; full && !signal.aborted;) {
      const page = await this.#page(cursor, filter);
      for (const { value } of page.changes) yield value;
      full = page.changes.length === PAGE_ROWS;
      cursor = page.through;
    }
    while (!signal.aborted) {
      if (this.#projection.position <= cursor) {
        await this.#projection.committed(signal);
        continue;
      }
      const page = await this.#shared(cursor);
      for (const { value } of page.changes) {
        if (filter === undefined || this.#matches(filter, value)) yield value;
      }
      cursor = page.through;
    }
  }

  async #page(after: bigint, filter: F | undefined): Promise<Page<V>> {
    // Taken before the rows are read, so that they include every change up to it.
    const reached = this.#projection.position;
    const changes = await this.#read(after, filter, PAGE_ROWS);
    const last = changes.at(-1)?.position ?? after;
    return {
      changes,
      through: changes.length === PAGE_ROWS || last > reached ? last : reached > after ? reached : after,
    };
  }

  #shared(after: bigint): Promise<Page<V>> {
    const reached = this.#projection.position;
    if (this.#pagesOf !== reached || this.#pages.size >= MAX_SHARED_PAGES) {
      this.#pages = new Map();
      this.#pagesOf = reached;
    }
    let page = this.#pages.get(after);
    if (page === undefined) {
      page = this.#page(after, undefined);
      this.#pages.set(after, page);
    }
    return page;
  }
}
