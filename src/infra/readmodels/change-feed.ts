/** Rows read at a time: a reader that rests holds on to so many, and a row may have tens of KiB. */
const PAGE_ROWS = 100;
/** Pages kept while readers ask for them; one for each distinct place they are at. */
const MAX_SHARED_PAGES = 64;

/** What a feed must know of the projection whose rows it reads. */
interface Commits {
  /** Everything up to here can be read. */
  readonly position: bigint;
  /** Waits for the next commit, or the signal. */
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
  /** Everything up to here has been given. */
  readonly through: bigint;
}

/**
 * The changes of one table's rows, from any position on: first each row changed since, then changes as they are
 * committed. It is state-based: a reader that falls behind finds the latest state of a row rather than a queue of old
 * ones, so it costs no memory however slow it is. Readers at the same place share one read, and the same objects.
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

  /** Follows the changes after a position until the signal. */
  async *changes(after: bigint, filter: F | undefined, signal: AbortSignal): AsyncIterable<V> {
    let cursor = after;
    // With a filter, what happened so far is read through it, which an index may help. All else is read once for all.
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
    // Taken before the rows: whatever is at or before it is in them.
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
