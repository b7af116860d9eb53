import { LRUCache } from 'lru-cache';
import type { AnyRow, Table } from '../../projections/projection.js';

/** The most text of rows known from the file that is kept for each table, in characters. */
const MAX_STORED_CHARACTERS = 16 * 1024 * 1024;

/** Represents a row that is known not to exist. */
const NONE: AnyRow = Object.freeze({});

/**
 * The rows of one table in memory: those that a batch works on, those that changed and are not written yet, and those known
 * from the file. `take` hands over the changed rows; they remain readable here until `written` is called for them.
 */
export class RowCache {
  readonly #key: string;
  /** Columns that must not be null. */
  readonly #required: readonly string[];
  readonly #stored: LRUCache<string, AnyRow>;
  /** The rows that the current batch works on. */
  #current = new Map<string, AnyRow>();
  #missing = new Set<string>();
  #changed = new Map<string, AnyRow>();
  #changedCharacters = 0;
  /** The rows that were taken and are not written yet, the oldest first. */
  readonly #taken: ReadonlyMap<string, AnyRow>[] = [];

  constructor({ key, columns }: Table, maxStoredRows: number) {
    this.#key = key;
    this.#required = Object.entries(columns).flatMap(([name, { nullable }]) => (nullable === true ? [] : [name]));
    this.#stored = new LRUCache({
      max: maxStoredRows,
      maxSize: MAX_STORED_CHARACTERS,
      sizeCalculation: charactersOf,
    });
  }

  /** Approximate characters of text in changed rows: each row counts with its size when it first changed. */
  get changedCharacters(): number {
    return this.#changedCharacters;
  }

  /** How many rows must be read from the file before the batch can be folded. */
  get missing(): number {
    return this.#missing.size;
  }

  /** Begins the next batch. */
  begin(): void {
    this.#current = new Map();
  }

  /** Adds a row to those that the batch works on. It counts as missing if it is not in memory. */
  need(key: string): void {
    if (this.#current.has(key) || this.#missing.has(key)) return;
    const row = this.#changed.get(key) ?? this.#findTaken(key) ?? this.#stored.get(key);
    if (row === undefined) this.#missing.add(key);
    else this.#current.set(key, row);
  }

  /** Reads the missing rows. Returns how many characters of text they have. */
  async load(read: (keys: readonly string[]) => Promise<readonly AnyRow[]>): Promise<number> {
    const keys = this.#missing;
    this.#missing = new Set();
    let characters = 0;
    for (const row of await read([...keys])) {
      const key = this.#keyOf(row);
      keys.delete(key);
      this.#current.set(key, row);
      this.#stored.set(key, row);
      characters += charactersOf(row);
    }
    for (const key of keys) {
      this.#current.set(key, NONE);
      this.#stored.set(key, NONE);
    }
    return characters;
  }

  get(key: string): AnyRow | undefined {
    const row = this.#current.get(key);
    return row === NONE ? undefined : row;
  }

  /** @throws Error when a column that must not be null is empty; SQLite would refuse the complete batch for it */
  assertWhole(row: AnyRow): void {
    for (const column of this.#required) {
      const value = row[column];
      if (value === undefined || value === null) throw new Error(`column ${column} would be left empty`);
    }
  }

  put(row: AnyRow): void {
    const key = this.#keyOf(row);
    this.#current.set(key, row);
    if (!this.#changed.has(key)) this.#changedCharacters += charactersOf(row);
    this.#changed.set(key, row);
  }

  take(): ReadonlyMap<string, AnyRow> {
    const changed = this.#changed;
    this.#changed = new Map();
    this.#changedCharacters = 0;
    this.#taken.push(changed);
    return changed;
  }

  /** Records that the oldest taken rows are in the file. */
  written(): void {
    for (const [key, row] of this.#taken.shift() ?? []) this.#stored.set(key, row);
  }

  #findTaken(key: string): AnyRow | undefined {
    for (let i = this.#taken.length - 1; i >= 0; i -= 1) {
      const row = this.#taken[i]?.get(key);
      if (row !== undefined) return row;
    }
    return undefined;
  }

  #keyOf(row: AnyRow): string {
    return String(row[this.#key]);
  }
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
