import { randomUUID } from 'node:crypto';
import { checkCommit, type Decision, type Expected } from './commit-check.js';
import { RecentIds } from './recent-ids.js';
import { DELETED_REVISION, StoredRecord, type Proposed } from './record.js';
import { METADATA_LIMITS, parseLimits, StoredStream, UNLIMITED, type Limits } from './stored-stream.js';
import { FIRST_RECORDS, newStatistics, proposeJson, STATISTICS_STREAM } from './system-events.js';

export interface StoreOptions {
  /** After about how many writes the server writes its own statistics; 0 for never. 7 by default. */
  readonly noise?: number;
  /** The bytes of ids remembered for appends that expect any revision; 8 MiB by default, as in the real server. */
  readonly recentIdsBytes?: number;
}

export type Appended =
  | {
      readonly kind: 'success';
      /** The revision of the last event, -1 for none. */
      readonly revision: bigint;
      readonly position: bigint;
      /** Whether it was already written before. */
      readonly repeated: boolean;
    }
  | Exclude<Decision, { kind: 'write' | 'repeated' }>;

/** The content of a store at one time: a backup. */
export type Snapshot = readonly StoredRecord[];

const WRITES_BETWEEN_STATISTICS = 7;
/** After this many records the log contains other data of GAP_BYTES: positions have gaps. */
const RECORDS_BETWEEN_GAPS = 5;
const GAP_BYTES = 211n;

/** The database of one server or of a cluster: it outlives their connections and is lost when the process ends. */
export class Store {
  readonly #noise: number;
  readonly #recent: RecentIds;
  readonly #streams = new Map<string, StoredStream>();
  readonly #limits = new Map<string, Limits>();
  readonly #growthListeners = new Set<() => void>();
  readonly #lossListeners = new Set<() => void>();
  #events: StoredRecord[] = [];
  #end = 0n;
  #ordinal = 0;
  #writes = 0;

  constructor({ noise = WRITES_BETWEEN_STATISTICS, recentIdsBytes }: StoreOptions = {}) {
    this.#noise = noise;
    this.#recent = new RecentIds(recentIdsBytes);
    for (const [stream, proposed] of FIRST_RECORDS) this.#push(stream, proposed);
  }

  /** Every record of `$all`, including the server's own, in order. */
  get events(): readonly StoredRecord[] {
    return this.#events;
  }

  get streams(): ReadonlyMap<string, StoredStream> {
    return this.#streams;
  }

  /** How many records there are. */
  get size(): number {
    return this.#events.length;
  }

  /** The position of the last record. */
  get head(): bigint {
    return this.#events.at(-1)?.position ?? -1n;
  }

  /** The end of the log: the position after the last record. */
  get end(): bigint {
    return this.#end;
  }

  /** The ordinal of the last record written. */
  get ordinal(): number {
    return this.#ordinal;
  }

  /** Calls the listener after each write; returns a function that stops this. */
  onGrowth(listener: () => void): () => void {
    this.#growthListeners.add(listener);
    return () => this.#growthListeners.delete(listener);
  }

  /** Calls the listener when written records are lost; returns a function that stops this. */
  onLoss(listener: () => void): () => void {
    this.#lossListeners.add(listener);
    return () => this.#lossListeners.delete(listener);
  }

  append(stream: string, expected: Expected, events: readonly Proposed[]): Appended {
    const decision = this.#check(stream, expected, events);
    if (decision.kind === 'repeated') return this.#repeated(stream, decision.last);
    if (decision.kind !== 'write') return decision;
    // Writing the metadata of a deleted stream restores the stream.
    const original = stream.startsWith('$$') ? stream.slice(2) : undefined;
    const revives = original !== undefined && this.#isSoftDeleted(original);
    const recreateFrom = (this.#streams.get(stream)?.lastRevision ?? -1n) + 1n;

    for (const proposed of events) this.#push(stream, proposed);
    const written = this.#streams.get(stream)?.last;
    if (decision.undelete) this.#recreate(stream, recreateFrom);
    if (revives) this.#recreate(original, (this.#streams.get(original)?.lastRevision ?? -1n) + 1n);
    this.#grew();
    return {
      kind: 'success',
      revision: written?.revision ?? -1n,
      position: written?.position ?? this.head,
      repeated: false,
    };
  }

  /** Deletes a stream so that it can be written again. */
  delete(stream: string, expected: Expected): Appended {
    const decision = this.#check(stream, expected, [{ id: randomUUID() }]);
    if (decision.kind === 'repeated') throw new Error('an id was drawn twice');
    if (decision.kind !== 'write') return decision;
    if (!this.#streams.has(stream) && !this.#streams.has(`$$${stream}`))
      return { kind: 'wrongExpectedVersion', current: -1n };
    const record = this.#push(`$$${stream}`, proposeJson('$metadata', `{"$tb":${DELETED_REVISION.toString()}}`));
    this.#grew();
    return { kind: 'success', revision: record.revision, position: record.position, repeated: false };
  }

  /** Deletes a stream permanently. */
  tombstone(stream: string, expected: Expected): Appended {
    const decision = this.#check(stream, expected, [{ id: randomUUID() }]);
    if (decision.kind === 'repeated') throw new Error('an id was drawn twice');
    if (decision.kind !== 'write') return decision;
    const record = this.#push(stream, proposeJson('$streamDeleted', ''), DELETED_REVISION);
    this.#grew();
    return { kind: 'success', revision: record.revision, position: record.position, repeated: false };
  }

  /** Appends quickly, at any revision of the streams: one write for each event. */
  seed(events: Iterable<Partial<Proposed> & { readonly stream: string }>): void {
    for (const { stream, ...given } of events) {
      this.#push(stream, { ...proposeJson('seeded', '{}'), ...given });
      this.#statistics();
    }
    this.#notify(this.#growthListeners);
  }

  limitsOf(stream: string): Limits {
    return stream.startsWith('$$') ? METADATA_LIMITS : (this.#limits.get(stream) ?? UNLIMITED);
  }

  /** Whether the stream can be read, has a tombstone, or does not exist because it is deleted or was never written. */
  stateOf(name: string): 'readable' | 'none' | 'tombstoned' {
    if (this.#isTombstoned(name)) return 'tombstoned';
    const stream = this.#streams.get(name);
    return stream === undefined || this.#isSoftDeleted(name) ? 'none' : 'readable';
  }

  /** The index in `events` of the first record at a position or after it. */
  indexFrom(position: bigint): number {
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle]?.position ?? 0n) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether a position is inside a record: nothing can be read from there. */
  isWithinRecord(position: bigint): boolean {
    const before = this.#events[this.indexFrom(position) - 1];
    return before !== undefined && position < before.end;
  }

  /** Forgets which ids were written recently: a new leader has not seen them. */
  forgetRecentIds(): void {
    this.#recent.clear();
  }

  /** Loses all records after a position, and every connection; the next records get the same positions. */
  truncateTo(position: bigint): void {
    this.restoreOlder(this.#events.filter((record) => record.position <= position));
  }

  snapshot(): Snapshot {
    return [...this.#events];
  }

  /** Replaces the content by an older backup, and loses every connection. */
  restoreOlder(backup: Snapshot): void {
    this.#replace([...backup]);
    this.#ordinal = backup.at(-1)?.ordinal ?? 0;
    this.#end = backup.at(-1)?.end ?? 0n;
    this.#recent.clear();
    this.#notify(this.#lossListeners);
  }

  /**
   * Removes from `$all` the events that can no longer be read from their stream. Of a stream with a tombstone the
   * tombstone remains; of any other stream the last event remains, readable or not.
   */
  scavenge(): void {
    this.#replace(
      this.#events.filter(({ stream: name, revision }) => {
        const stream = this.#streams.get(name);
        if (stream === undefined) return false;
        if (this.#isTombstoned(name)) return revision === DELETED_REVISION;
        return revision === stream.lastRevision || revision >= stream.firstReadable(this.limitsOf(name));
      }),
    );
  }

  #check(name: string, expected: Expected, events: readonly { readonly id: string }[]): Decision {
    const checked = {
      stream: this.#streams.get(name),
      isSoftDeleted: this.#isSoftDeleted(name),
      isTombstoned: this.#isTombstoned(name),
      hasMetadata: this.#streams.has(`$$${name}`),
    };
    return checkCommit(
      name,
      checked,
      expected,
      Array.from(events, ({ id }) => id),
      this.#recent,
    );
  }

  #repeated(name: string, last: bigint): Appended {
    const position = this.#streams.get(name)?.at(last)?.position ?? -1n;
    return { kind: 'success', revision: last, position, repeated: true };
  }

  #isSoftDeleted(name: string): boolean {
    return this.#limits.get(name)?.truncateBefore === DELETED_REVISION;
  }

  #isTombstoned(name: string): boolean {
    if (this.#streams.get(name)?.isTombstoned === true) return true;
    return name.startsWith('$$') && this.#streams.get(name.slice(2))?.isTombstoned === true;
  }

  /** Lets a soft-deleted stream continue from a revision. */
  #recreate(stream: string, from: bigint): void {
    const metadata = this.#streams.get(`$$${stream}`)?.last;
    if (metadata === undefined) return;
    let parsed: unknown;
    try {
      parsed = JSON.parse(Buffer.from(metadata.data).toString('utf8'));
    } catch {
      return;
    }
    this.#push(`$$${stream}`, proposeJson('$metadata', JSON.stringify({ ...(parsed as object), $tb: Number(from) })));
  }

  #push(name: string, proposed: Proposed, at?: bigint): StoredRecord {
    this.#ordinal += 1;
    const position = this.#end + (this.#ordinal % RECORDS_BETWEEN_GAPS === 1 ? GAP_BYTES : 0n);
    const revision = at ?? (this.#streams.get(name)?.lastRevision ?? -1n) + 1n;
    const record = new StoredRecord({ position, ordinal: this.#ordinal, stream: name, revision }, proposed);
    this.#end = record.end;
    this.#events.push(record);
    this.#file(record);
    this.#recent.put(record.id, record);
    return record;
  }

  #file(record: StoredRecord): void {
    const { stream: name } = record;
    let stream = this.#streams.get(name);
    if (stream === undefined) this.#streams.set(name, (stream = new StoredStream(name)));
    stream.push(record);
    if (name.startsWith('$$')) this.#limits.set(name.slice(2), parseLimits(record.data));
  }

  #replace(events: StoredRecord[]): void {
    this.#events = events;
    this.#streams.clear();
    this.#limits.clear();
    for (const record of events) this.#file(record);
  }

  #grew(): void {
    this.#statistics();
    this.#notify(this.#growthListeners);
  }

  #statistics(): void {
    this.#writes += 1;
    if (this.#noise > 0 && this.#writes % this.#noise === 0) this.#push(STATISTICS_STREAM, newStatistics());
  }

  #notify(listeners: ReadonlySet<() => void>): void {
    for (const listener of [...listeners]) listener();
  }
}
