import { setImmediate as nextTurn } from 'node:timers/promises';
import { categoryOf, isCategory, isReadable, type RecordedEvent } from '../../domain/event.js';
import { NewerEventError } from '../../domain/newer-event.js';
import { upcast } from '../../domain/upcast.js';
import type { AnyRow, Handler, Projection, Rows, Tables } from '../../projections/projection.js';
import { RowCache } from './row-cache.js';

/** Rows kept in memory for each table between batches. */
const MAX_CACHED_ROWS = 4_000;
/** Rows read by one query. */
const MAX_LOADED_ROWS = 250;
/** Text read for one fold, in characters: a batch whose rows have more is folded in parts. */
const MAX_LOADED_CHARACTERS = 8 * 1024 * 1024;
/** Text of changed rows, in characters, from which they should be written. */
const MAX_UNWRITTEN_CHARACTERS = 8 * 1024 * 1024;
/** Events folded before other work gets a turn of the event loop: about half a millisecond. */
const SLICE = 128;

/** Reads rows of one table by their keys. */
export type LoadRows = (table: string, keys: readonly string[]) => Promise<readonly AnyRow[]>;

/** The rows that a batch changed, by table and key. */
export type ChangedRows = ReadonlyMap<string, ReadonlyMap<string, AnyRow>>;

/** An event cannot be folded: a handler threw, or a newer build wrote it. The events before it in the batch are kept. */
export class FoldError extends Error {
  override readonly name = 'FoldError';
  readonly code: 'NEWER_EVENT' | 'FOLD_FAILED';
  readonly event: RecordedEvent;

  constructor(event: RecordedEvent, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = cause instanceof NewerEventError ? cause.code : 'FOLD_FAILED';
    this.event = event;
  }
}

/** An event in today's shape, and its handler; or why it cannot be folded. */
interface Prepared {
  readonly event: RecordedEvent;
  readonly isSkipped: boolean;
  readonly handler: Handler<RecordedEvent, Tables> | undefined;
  /** The rows that the handler reads: table and key. */
  readonly touched: readonly (readonly [string, string])[];
  readonly flaw?: unknown;
}

/** The result of folding a batch. */
export interface Folded {
  /** How many of its events are done, from the first. */
  readonly taken: number;
  /** How many of those were folded: all but the skipped ones. */
  readonly events: number;
  /** Why it stopped at the event after those; absent when no event failed. */
  readonly failure?: FoldError;
}

/**
 * Folds batches of events into rows in memory. The rows that a batch touches are gathered first, from memory and then
 * from the file. Changed rows remain in memory until `take` and then `written` were called for them.
 */
export class BatchFolder {
  readonly #projection: Projection;
  readonly #load: LoadRows;
  readonly #tables: ReadonlyMap<string, RowCache>;

  constructor(projection: Projection, load: LoadRows, maxCachedRows = MAX_CACHED_ROWS) {
    this.#projection = projection;
    this.#load = load;
    const tables = Object.entries(projection.tables);
    this.#tables = new Map(tables.map(([name, table]) => [name, new RowCache(table, maxCachedRows)]));
  }

  /**
   * Folds a batch, or its first part when its rows are very large.
   * @param skipped positions of events that are handled only by the projection's `skipped`
   */
  async fold(batch: readonly RecordedEvent[], skipped: ReadonlySet<bigint>): Promise<Folded> {
    const gathered = await this.#gather(batch, skipped);
    let events = 0;
    for (const [i, prepared] of gathered.entries()) {
      if (i > 0 && i % SLICE === 0) await nextTurn();
      const failure = this.#foldOne(prepared);
      if (failure !== undefined) return { taken: i, events, failure };
      if (!prepared.isSkipped) events += 1;
    }
    return { taken: gathered.length, events };
  }

  /** Whether the changed rows have so much text that they should be written. */
  get isFull(): boolean {
    let characters = 0;
    for (const rows of this.#tables.values()) characters += rows.changedCharacters;
    return characters >= MAX_UNWRITTEN_CHARACTERS;
  }

  /** Returns the rows that have changed since the last call; the caller writes them and then calls `written`. */
  take(): ChangedRows {
    return new Map([...this.#tables].map(([name, rows]) => [name, rows.take()]));
  }

  /** Records that the rows of the oldest unwritten `take` are in the file. */
  written(): void {
    for (const rows of this.#tables.values()) rows.written();
  }

  /** Folds one event. The rows that its handler puts are applied only if it does not throw. */
  #foldOne({ event, handler, flaw }: Prepared): FoldError | undefined {
    if (flaw !== undefined) return new FoldError(event, flaw);
    const staged: (readonly [rows: RowCache, row: AnyRow])[] = [];
    const get = (table: string, key: string) => this.#tables.get(table)?.get(key);
    const put = (table: string, row: AnyRow) => {
      const rows = this.#rowsOf(table);
      rows.assertWhole(row);
      staged.push([rows, row]);
    };
    try {
      handler?.fold({ get, put } as unknown as Rows<Tables>, event);
    } catch (error) {
      return new FoldError(event, error);
    }
    for (const [rows, row] of staged) rows.put(row);
    return undefined;
  }

  /** Loads the rows that events touch. Returns the events whose rows are loaded: all, or the first part of them. */
  async #gather(batch: readonly RecordedEvent[], skipped: ReadonlySet<bigint>): Promise<readonly Prepared[]> {
    for (const rows of this.#tables.values()) rows.begin();
    const gathered: Prepared[] = [];
    let characters = 0;
    let missing = 0;
    for (const event of batch) {
      const prepared = this.#prepare(event, skipped.has(event.position));
      gathered.push(prepared);
      for (const [table, key] of prepared.touched) {
        const rows = this.#rowsOf(table);
        const before = rows.missing;
        rows.need(key);
        missing += rows.missing - before;
      }
      if (missing >= MAX_LOADED_ROWS) {
        characters += await this.#loadMissing();
        missing = 0;
      }
      if (characters > MAX_LOADED_CHARACTERS) return gathered;
    }
    if (missing > 0) await this.#loadMissing();
    return gathered;
  }

  async #loadMissing(): Promise<number> {
    let characters = 0;
    for (const [table, rows] of this.#tables) {
      if (rows.missing > 0) characters += await rows.load((keys) => this.#load(table, keys));
    }
    return characters;
  }

  #prepare(event: RecordedEvent, isSkipped: boolean): Prepared {
    const { handlers, skipped, categories } = this.#projection;
    if (isSkipped) return { event, isSkipped, handler: skipped, touched: skipped?.touches(event) ?? [] };
    try {
      const current = upcast(event);
      const { type, stream } = event;
      const handler = handlers[type];
      if (handler === undefined ? !isReadable(type) : categories === 'ALL' && !isCategory(categoryOf(stream)))
        throw new NewerEventError(event);
      return { event: current, isSkipped, handler, touched: handler?.touches(current) ?? [] };
    } catch (flaw) {
      return { event, isSkipped, handler: undefined, touched: [], flaw };
    }
  }

  #rowsOf(table: string): RowCache {
    const rows = this.#tables.get(table);
    if (rows === undefined) throw new Error(`the projection has no table '${table}'`);
    return rows;
  }
}
