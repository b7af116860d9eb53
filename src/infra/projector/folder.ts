import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RecordedEvent } from '../../domain/event.js';
import { upcast } from '../../domain/upcast.js';
import type { AnyRow, Projection, Rows, Table, Tables } from '../../projections/projection.js';

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

/** How far folding a batch got: how many events were folded, and where it stopped if a handler threw. */
export interface Folded {
  readonly events: number;
  readonly failure?: FoldError;
}

/**
 * Folds batches of events into rows in memory. Rows are read in one query a table and kept, newest last, so that the
 * next batch finds them; those that are changed stay until `take` was called for them, and then `written`.
 */
export class Folder {
  readonly #projection: Projection;
  readonly #load: LoadRows;
  readonly #maxCachedRows: number;
  /** By table: rows by key; `undefined` remembers that there is none. */
  readonly #cache: ReadonlyMap<string, Map<string, AnyRow | undefined>>;
  /** By table: the columns that must hold something. */
  readonly #required: ReadonlyMap<string, readonly string[]>;
  /** Changed since rows were last taken. */
  #changed = new Map<string, Map<string, AnyRow>>();
  /** Taken, and not yet written; the oldest first. */
  readonly #taken: ChangedRows[] = [];

  constructor(projection: Projection, load: LoadRows, maxCachedRows = MAX_CACHED_ROWS) {
    this.#projection = projection;
    this.#load = load;
    this.#maxCachedRows = maxCachedRows;
    const tables = Object.entries(projection.tables);
    this.#cache = new Map(tables.map(([table]) => [table, new Map()]));
    this.#required = new Map(tables.map(([table, { columns }]) => [table, requiredOf(columns)]));
  }

  /** Folds a batch. Events in `skipped` (by position) are passed over. */
  async fold(batch: readonly RecordedEvent[], skipped: ReadonlySet<bigint>): Promise<Folded> {
    const events = (skipped.size === 0 ? batch : batch.filter(({ position }) => !skipped.has(position))).map(upcast);
    await this.#loadTouched(events);
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
        for (const [table, key, row] of staged) this.#keep(table, key, row);
      }
      count += 1;
    }
    this.#evict();
    return { events: count, ...(failure === undefined ? {} : { failure }) };
  }

  /** The rows that have changed since the last time, to be written; `written` is then called once they are. */
  take(): ChangedRows {
    const changed = this.#changed;
    this.#changed = new Map();
    this.#taken.push(changed);
    return changed;
  }

  /** Says that the rows that were taken first are in the file now. */
  written(): void {
    this.#taken.shift();
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
      // SQLite would refuse the whole batch; here it is known which event is to blame.
      for (const column of this.#required.get(table) ?? []) {
        if (row[column] === undefined || row[column] === null)
          throw new Error(`${table}.${column} would be left empty`);
      }
      staged.push([table, String(row[this.#projection.tables[table]?.key ?? '']), row]);
    };
    return { get, put } as unknown as Rows<Tables>;
  }

  /** Called right after a fold, when no row is about to be read: a row that was found cached must still be there then. */
  #evict(): void {
    const pinned = [this.#changed, ...this.#taken];
    for (const [table, rows] of this.#cache) {
      let excess = rows.size - this.#maxCachedRows;
      if (excess <= 0) continue;
      for (const key of rows.keys()) {
        if (excess-- <= 0) break;
        if (!pinned.some((changed) => changed.get(table)?.has(key))) rows.delete(key);
      }
    }
  }

  #keep(table: string, key: string, row: AnyRow): void {
    const changed = this.#changed.get(table) ?? new Map<string, AnyRow>();
    this.#changed.set(table, changed);
    const cache = this.#cache.get(table);
    // Deleting first moves the key to the newest end, which is where eviction looks last.
    if (!changed.has(key)) cache?.delete(key);
    cache?.set(key, row);
    changed.set(key, row);
  }
}

function requiredOf(columns: Table['columns']): string[] {
  return Object.entries(columns).flatMap(([name, { nullable }]) => (nullable === true ? [] : [name]));
}
