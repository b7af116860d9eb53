import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RecordedEvent } from '../../domain/event.js';
import { upcast } from '../../domain/upcast.js';
import type { AnyRow, Projection, Rows, Tables } from '../../projections/projection.js';

/** Rows kept in memory for each table between batches. */
const MAX_CACHED_ROWS = 10_000;

/** Events folded before others get a turn of the event loop: about half a millisecond's worth. */
const SLICE = 128;

/** Reads rows of one table by their keys. */
export type LoadRows = (table: string, keys: readonly string[]) => Promise<readonly AnyRow[]>;

/** The rows that a batch changed, by table and key. */
export type ChangedRows = ReadonlyMap<string, ReadonlyMap<string, AnyRow>>;

/** A handler threw. What came before it in the batch is kept. */
export class FoldError extends Error {
  override readonly name = 'FoldError';
  readonly event: RecordedEvent;

  constructor(event: RecordedEvent, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.event = event;
  }
}

/** What folding a batch led to: the rows to write, and where it stopped if a handler threw. */
export interface Folded {
  readonly changed: ChangedRows;
  readonly events: number;
  readonly failure?: FoldError;
}

/**
 * Folds batches of events into rows in memory. Rows are read in one query a table and kept, newest last, so that the
 * next batch finds them; those changed but not yet written are pinned until `written` is called for their batch.
 */
export class Folder {
  readonly #projection: Projection;
  readonly #load: LoadRows;
  readonly #maxCachedRows: number;
  /** By table: rows by key; `undefined` remembers that there is none. */
  readonly #cache: ReadonlyMap<string, Map<string, AnyRow | undefined>>;
  #pinned: ChangedRows[] = [];

  constructor(projection: Projection, load: LoadRows, maxCachedRows = MAX_CACHED_ROWS) {
    this.#projection = projection;
    this.#load = load;
    this.#maxCachedRows = maxCachedRows;
    this.#cache = new Map(Object.keys(projection.tables).map((table) => [table, new Map()]));
  }

  /** Folds a batch. Events in `skipped` (by position) are passed over. */
  async fold(batch: readonly RecordedEvent[], skipped: ReadonlySet<bigint>): Promise<Folded> {
    const events = batch.filter(({ position }) => !skipped.has(position)).map(upcast);
    await this.#loadTouched(events);
    const changed = new Map<string, Map<string, AnyRow>>();
    let count = 0;
    let failure: FoldError | undefined;
    for (const event of events) {
      if (count > 0 && count % SLICE === 0) await nextTurn();
      const handler = this.#projection.handlers[event.type];
      if (handler !== undefined) {
        const staged: (readonly [table: string, key: string, row: AnyRow])[] = [];
        try {
          handler.fold(this.#rows(staged), event);
        } catch (error) {
          failure = new FoldError(event, error);
          break;
        }
        for (const [table, key, row] of staged) this.#keep(changed, table, key, row);
      }
      count += 1;
    }
    this.#pinned.push(changed);
    this.#evict();
    return { changed, events: count, ...(failure === undefined ? {} : { failure }) };
  }

  /** Says that the rows of the oldest unwritten batch are in the file now. */
  written(): void {
    this.#pinned.shift();
  }

  async #loadTouched(events: readonly RecordedEvent[]): Promise<void> {
    const missing = new Map<string, Set<string>>();
    for (const event of events) {
      for (const [table, key] of this.#touches(event)) {
        if (this.#cache.get(table)?.has(key) === true) continue;
        const keys = missing.get(table);
        if (keys === undefined) missing.set(table, new Set([key]));
        else keys.add(key);
      }
    }
    await Promise.all(
      [...missing].map(async ([table, keys]) => {
        const cache = this.#cache.get(table);
        const column = this.#projection.tables[table]?.key ?? '';
        for (const row of await this.#load(table, [...keys])) {
          const key = String(row[column]);
          cache?.set(key, row);
          keys.delete(key);
        }
        for (const key of keys) cache?.set(key, undefined);
      }),
    );
  }

  /** A handler that throws while naming its rows throws again, and is dealt with, when it folds. */
  #touches(event: RecordedEvent): readonly (readonly [string, string])[] {
    try {
      return this.#projection.handlers[event.type]?.touches(event) ?? [];
    } catch {
      return [];
    }
  }

  #rows(staged: (readonly [string, string, AnyRow])[]): Rows<Tables> {
    const get = (table: string, key: string): AnyRow | undefined => this.#cache.get(table)?.get(key);
    const put = (table: string, row: AnyRow): void => {
      staged.push([table, String(row[this.#projection.tables[table]?.key ?? '']), row]);
    };
    return { get, put } as unknown as Rows<Tables>;
  }

  /** Called right after a fold, when no row is about to be read: a row that was found cached must still be there then. */
  #evict(): void {
    for (const [table, rows] of this.#cache) {
      let excess = rows.size - this.#maxCachedRows;
      if (excess <= 0) continue;
      for (const key of rows.keys()) {
        if (excess-- <= 0) break;
        if (!this.#pinned.some((changed) => changed.get(table)?.has(key))) rows.delete(key);
      }
    }
  }

  #keep(changed: Map<string, Map<string, AnyRow>>, table: string, key: string, row: AnyRow): void {
    const cache = this.#cache.get(table);
    // Deleting first moves the key to the newest end, which is where eviction looks last.
    cache?.delete(key);
    cache?.set(key, row);
    const rows = changed.get(table);
    if (rows === undefined) changed.set(table, new Map([[key, row]]));
    else rows.set(key, row);
  }
}
