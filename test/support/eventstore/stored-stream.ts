import { DELETED_REVISION, type StoredRecord } from './record.js';

/** The limits that a stream's metadata sets on which of its events can be read. */
export interface Limits {
  /** The first revision that can be read. */
  readonly truncateBefore?: bigint;
  readonly maxCount?: bigint;
  readonly maxAgeMs?: number;
}

export const UNLIMITED: Limits = {};
/** Of a metadata stream only the last event can be read. */
export const METADATA_LIMITS: Limits = { maxCount: 1n };

/** Parses limits: metadata that is not a JSON object, or that has other types, sets none. */
export function parseLimits(metadata: Uint8Array): Limits {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(metadata).toString('utf8'));
  } catch {
    return UNLIMITED;
  }
  if (typeof parsed !== 'object' || parsed === null) return UNLIMITED;
  const number = (key: string): number | undefined => {
    const value = (parsed as Record<string, unknown>)[key];
    return typeof value === 'number' && value >= 0 ? value : undefined;
  };
  const [truncateBefore, maxCount, maxAge] = [number('$tb'), number('$maxCount'), number('$maxAge')];
  return {
    // A JSON number cannot represent the greatest revision exactly.
    ...(truncateBefore !== undefined && {
      truncateBefore: truncateBefore >= 2 ** 63 ? DELETED_REVISION : BigInt(Math.floor(truncateBefore)),
    }),
    ...(maxCount !== undefined && { maxCount: BigInt(Math.floor(maxCount)) }),
    ...(maxAge !== undefined && { maxAgeMs: maxAge * 1_000 }),
  };
}

/** The events of one stream; a scavenge may have removed those before the first. */
export class StoredStream {
  readonly name: string;
  readonly #records: StoredRecord[] = [];

  constructor(name: string) {
    this.name = name;
  }

  get records(): readonly StoredRecord[] {
    return this.#records;
  }

  get last(): StoredRecord | undefined {
    return this.#records.at(-1);
  }

  /** The revision of the last event; -1 if there is none. */
  get lastRevision(): bigint {
    return this.last?.revision ?? -1n;
  }

  get isTombstoned(): boolean {
    return this.lastRevision === DELETED_REVISION;
  }

  push(record: StoredRecord): void {
    this.#records.push(record);
  }

  at(revision: bigint): StoredRecord | undefined {
    if (revision === DELETED_REVISION) return this.isTombstoned ? this.last : undefined;
    const record = this.#records[Number(revision - (this.#records[0]?.revision ?? 0n))];
    return record?.revision === revision ? record : undefined;
  }

  /** The first revision that can be read within the limits. */
  firstReadable(limits: Limits): bigint {
    let first = this.#records[0]?.revision ?? 0n;
    if (limits.truncateBefore !== undefined && limits.truncateBefore > first) first = limits.truncateBefore;
    if (limits.maxCount !== undefined) {
      const counted = this.lastRevision - limits.maxCount + 1n;
      if (counted > first) first = counted;
    }
    if (limits.maxAgeMs !== undefined) {
      const threshold = Date.now() - limits.maxAgeMs;
      while (first <= this.lastRevision && (this.at(first)?.createdMs ?? 0) < threshold) first += 1n;
    }
    return first;
  }
}
