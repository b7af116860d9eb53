import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { RecordedEvent } from '../../domain/event.js';
import { upcast } from '../../domain/upcast.js';
import type { AnyRow, Projection, Rows, Table, Tables } from '../../projections/projection.js';

/** Rows kept in memory for each table between batches. */
const MAX_CACHED_ROWS = 10_000;
/** The most memory they take, in characters of text, for each table. */
const MAX_CACHED_CHARACTERS = 16 * 1024 * 1024;
/** Rows read by one query. */
const MAX_LOADED_ROWS = 250;
/** Text read for one fold, in characters: a batch whose rows are larger is folded in parts. */
const MAX_LOADED_CHARACTERS = 8 * 1024 * 1024;
/** Text of changed rows, in characters, beyond which they should be written. */
const MAX_UNWRITTEN_CHARACTERS = 8 * 1024 * 1024;
/** Events folded before others get a turn of the event loop: about half a millisecond's worth. */
const SLICE = 128;

/** Remembers that a table has no row of a key. */
const NONE: AnyRow = Object.freeze({});

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

/** How far folding a batch got. */
export interface Folded {
  /** How many of its events are done with, from the first. */
  readonly taken: number;
  /** How many of those were folded: all but those passed over. */
  readonly events: number;
  /** Where it stopped because a handler threw. */
  readonly failure?: FoldError;
}

/**
 * Folds batches of events into rows in memory. The rows that a batch touches are gathered first: those changed before and
 * not yet written, those remembered from the file, and what is then missing from the file itself. Changed rows stay here
 * until `take` was called for them, and then `written`.
 */
export class Folder {
  readonly #projection: Projection;
  readonly #load: LoadRows;
  /** By table: rows as the file has them. */
  readonly #stored: ReadonlyMap<string, LRUCache<string, AnyRow>>;
  /** By table: the columns that must hold something. */
  readonly #required: ReadonlyMap<string, readonly string[]>;
  /** Changed since rows were last taken. */
  #changed = new Map<string, Map<string, AnyRow>>();
  /** Characters of text in those, about: a row counts as it was when it first changed. */
  #changedCharacters = 0;
  /** Taken, and not yet written; the oldest first. */
  readonly #taken: ChangedRows[] = [];

  constructor(projection: Projection, load: LoadRows, maxCachedRows = MAX_CACHED_ROWS) {
    this.#projection = projection;
    this.#load = load;
    const tables = Object.entries(projection.tables);
    const cache = { max: maxCachedRows, maxSize: MAX_CACHED_CHARACTERS, sizeCalculation: charactersOf };
    this.#stored = new Map(tables.map(([table]) => [table, new LRUCache(cache)]));
    this.#required = new Map(tables.map(([table, { columns }]) => [table, requiredOf(columns)]));
  }

  /** Folds a batch, or its first part when its rows are very large. Events in `skipped` (by position) are passed over. */
  async fold(batch: readonly RecordedEvent[], skipped: ReadonlySet<bigint>): Promise<Folded> {
    const current = new Map(Object.keys(this.#projection.tables).map((table) => [table, new Map<string, AnyRow>()]));
    const gathered = await this.#gather(batch, skipped, current);
    let taken = 0;
    let events = 0;
    for (const stored of batch.slice(0, gathered)) {
      if (taken > 0 && taken % SLICE === 0) await nextTurn();
      if (!skipped.has(stored.position)) {
        const event = upcast(stored);
        const staged: Staged[] = [];
        try {
          this.#projection.handlers[event.type]?.fold(this.#rows(current, staged), event);
        } catch (error) {
          return { taken, events, failure: new FoldError(event, error) };
        }
        for (const [table, key, row] of staged) {
          current.get(table)?.set(key, row);
          this.#keep(table, key, row);
        }
        events += 1;
      }
      taken += 1;
    }
    return { taken, events };
  }

  /** Whether so much has changed that it should be written. */
  get isFull(): boolean {
    return this.#changedCharacters >= MAX_UNWRITTEN_CHARACTERS;
  }

  /** The rows that have changed since the last time, to be written; `written` is then called once they are. */
  take(): ChangedRows {
    const changed = this.#changed;
    this.#changed = new Map();
    this.#changedCharacters = 0;
    this.#taken.push(changed);
    return changed;
  }

  /** Says that the rows that were taken first are in the file now. */
  written(): void {
    for (const [table, rows] of this.#taken.shift() ?? []) {
      for (const [key, row] of rows) this.#stored.get(table)?.set(key, row);
    }
  }

  /** Puts the rows that events touch into `current`. Returns for how many of the events it has, from the first. */
  async #gather(
    batch: readonly RecordedEvent[],
    skipped: ReadonlySet<bigint>,
    current: ReadonlyMap<string, Map<string, AnyRow>>,
  ): Promise<number> {
    const missing = new Map(Object.keys(this.#projection.tables).map((table) => [table, new Set<string>()]));
    let waiting = 0;
    let characters = 0;
    const load = async () => {
      waiting = 0;
      for (const [table, keys] of missing) {
        if (keys.size > 0) characters += await this.#loadInto(table, keys, current.get(table));
        keys.clear();
      }
    };
    for (const [i, stored] of batch.entries()) {
      if (skipped.has(stored.position)) continue;
      for (const [table, key] of this.#touches(upcast(stored))) {
        if (current.get(table)?.has(key) === true || missing.get(table)?.has(key) === true) continue;
        const row = this.#find(table, key);
        if (row !== undefined) current.get(table)?.set(key, row);
        else {
          missing.get(table)?.add(key);
          waiting += 1;
        }
      }
      if (waiting >= MAX_LOADED_ROWS) await load();
      if (characters > MAX_LOADED_CHARACTERS) return i + 1;
    }
    await load();
    return batch.length;
  }

  /** Reads rows of a table from the file. Returns how many characters of text they have. */
  async #loadInto(table: string, keys: ReadonlySet<string>, rows?: Map<string, AnyRow>): Promise<number> {
    const stored = this.#stored.get(table);
    const column = this.#projection.tables[table]?.key ?? '';
    let characters = 0;
    for (const key of keys) rows?.set(key, NONE);
    for (const row of await this.#load(table, [...keys])) {
      rows?.set(String(row[column]), row);
      characters += charactersOf(row);
    }
    for (const key of keys) stored?.set(key, rows?.get(key) ?? NONE);
    return characters;
  }

  /** The newest that is known of a row here. */
  #find(table: string, key: string): AnyRow | undefined {
    const changed = this.#changed.get(table)?.get(key);
    if (changed !== undefined) return changed;
    const taken = this.#taken
      .findLast((rows) => rows.get(table)?.has(key))
      ?.get(table)
      ?.get(key);
    return taken ?? this.#stored.get(table)?.get(key);
  }

  /** A handler that throws while naming its rows throws again, and is dealt with, when it folds. */
  #touches(event: RecordedEvent): readonly (readonly [string, string])[] {
    try {
      return this.#projection.handlers[event.type]?.touches(event) ?? [];
    } catch {
      return [];
    }
  }

  #rows(current: ReadonlyMap<string, ReadonlyMap<string, AnyRow>>, staged: Staged[]): Rows<Tables> {
    const get = (table: string, key: string): AnyRow | undefined => {
      const row = current.get(table)?.get(key);
      return row === NONE ? undefined : row;
    };
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

  #keep(table: string, key: string, row: AnyRow): void {
    const changed = this.#changed.get(table) ?? new Map<string, AnyRow>();
    this.#changed.set(table, changed);
    if (!changed.has(key)) this.#changedCharacters += charactersOf(row);
    changed.set(key, row);
  }
}

/** What a handler has put. */
type Staged = readonly [table: string, key: string, row: AnyRow];

function requiredOf(columns: Table['columns']): string[] {
  return Object.entries(columns).flatMap(([name, { nullable }]) => (nullable === true ? [] : [name]));
}

/** Characters of text in a row; at least 1. */
function charactersOf(row: AnyRow): number {
  let characters = 1;
  for (const name in row) {
    const value = row[name];
    if (typeof value === 'string') characters += value.length;
  }
  return characters;
}
