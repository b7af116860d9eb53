import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { Clock } from '../../platform/clock.js';
import { SqliteError, type Connection, type Param } from '../../sqlite/connection.js';
import { LogError } from '../errors.js';
import type { Append, AppendResult } from '../eventlog.js';
import type { Provenance } from '../prepare-append.js';
import { assignPositions, NO_STREAM, type EncodedAppend } from './assign-positions.js';
import { encodeAppend, EVENT_COLUMNS } from './event-row.js';
import { toLogError, type OpenFile } from './log-file.js';
import { PartitionSize } from './partition-size.js';
import { addPartition, tableOf, type Partition, type Partitions } from './partitions.js';
import { StreamNames } from './stream-names.js';

/** The most calls in one group. A group shares one transaction and one fsync. */
const MAX_GROUP_CALLS = 50;
/** The most events in one group, unless a single call has more. */
const MAX_GROUP_EVENTS = 500;
/** The most calls that may wait; further calls are refused. */
const MAX_QUEUED_CALLS = 10_000;
/** The most bytes of events that may wait. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** The most streams whose heads are cached. */
const MAX_CACHED_HEADS = 50_000;

/** Inserts any number of rows, given as a JSON array of arrays, in one statement. */
const INSERT = (table: string) => `INSERT INTO ${table} (${EVENT_COLUMNS})
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9
  FROM jsonb_each(?)`;
/** Inserts a single row; SQLite does this faster without JSON. */
const INSERT_ONE = (table: string) => `INSERT INTO ${table} (${EVENT_COLUMNS})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const HEADS = `SELECT value AS stream,
    (SELECT revision FROM events WHERE stream = value ORDER BY revision DESC LIMIT 1) AS revision
  FROM json_each(?)`;
const NAMES = (table: string) => `SELECT DISTINCT stream FROM ${table}`;
const STORED_IDS =
  'SELECT id, position, revision FROM events WHERE stream = ? AND revision > ? ORDER BY revision LIMIT ?';

/** The appends of one call, stored all or none. */
interface Pending {
  readonly appends: readonly EncodedAppend[];
  readonly events: number;
  readonly bytes: number;
  readonly resolve: (last: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Resolves or rejects the calls of a group. */
type Answer = () => void;

/** Dependencies of a writer. */
interface WriterOptions extends Pick<OpenFile, 'connection' | 'partitions'> {
  readonly clock: Clock;
  readonly path: string;
  /** The position of the log's last event. */
  readonly head: bigint;
  /** The size of a partition in a log that is not large, in bytes. */
  readonly partitionBytes: number;
  /** Called with the log's new head after each group that wrote events. */
  readonly onCommit: (head: bigint) => void;
}

/**
 * Appends in groups: while one group commits, the next one gathers. A group shares one statement, one transaction and one
 * fsync. Each append is still checked against its own expected revision; the appends of one call are stored all or none.
 *
 * The check uses cached heads and positions; the unique keys on `position` and `(stream, revision)` of the newest partition
 * detect writes of another process since. If a key is violated, the partition is sealed, or an append would be refused, the
 * group is checked again, one call at a time, under a write lock and against the file.
 *
 * No key spans partitions. A stream that has its events in an older one is known by name, so that its head is read. A cached
 * head may be behind what another process has written to a partition that is sealed by now: so all are dropped when another
 * process seals a partition, and when this one does while others have written.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #onCommit: (head: bigint) => void;
  readonly #partitions: Partitions;
  readonly #size: PartitionSize;
  readonly #names = new StreamNames();
  // Limited by size: with a limit by number the cache would allocate memory for all entries immediately.
  readonly #heads = new LRUCache<string, number>({ maxSize: MAX_CACHED_HEADS, sizeCalculation: () => 1 });
  readonly #exclusively = pLimit(1);
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #isFull = false;
  #lastPosition: number;
  /** The partition to append to; others may have added newer ones. */
  #partition: Partition;
  /** Whether the names have every stream that this writer found in the partition. */
  #isNamed: boolean;
  /** The newest partition up to which the names have every stream. */
  #named = 0;
  /** Differs from that of the file when another process has written since the heads were last dropped. */
  #dataVersion: number | undefined;
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor({ connection, partitions, clock, path, head, partitionBytes, onCommit }: WriterOptions) {
    this.#connection = connection;
    this.#clock = clock;
    this.#path = path;
    this.#lastPosition = Number(head);
    this.#onCommit = onCommit;
    this.#partitions = partitions;
    this.#size = new PartitionSize(partitionBytes);
    this.#partition = partitions.newest;
    this.#isNamed = this.#lastPosition < this.#partition.first;
  }

  /**
   * Queues appends and resolves when their group is durable; either all of them are stored, or none.
   * @param appends at least one
   * @returns the place of the last event
   * @throws LogError as `EventLog.append` does
   */
  append(appends: readonly Append[], provenance: Provenance): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      const encoded = appends.map(({ stream, events, expected }) => ({
        stream,
        events: encodeAppend(stream, events, provenance),
        expected,
      }));
      let [events, bytes] = [0, 0];
      for (const append of encoded) {
        events += append.events.length;
        for (const event of append.events) bytes += event.bytes;
      }
      if (this.#queue.length >= MAX_QUEUED_CALLS || this.#queuedBytes + bytes > MAX_QUEUED_BYTES) {
        throw new LogError(
          'LOG_OVERLOADED',
          `${String(this.#queue.length)} appends are waiting for the disk; try again in a moment.`,
        );
      }
      this.#queue.push({ appends: encoded, events, bytes, resolve, reject });
      this.#queuedBytes += bytes;
      this.#draining ??= this.#drain();
    });
  }

  /**
   * Refuses new calls, finishes the queued ones, and closes the connection.
   * @param others awaited first: only the last connection to close moves the write-ahead log into the file
   * @param syncs whether to make everything durable first
   */
  async close(others: Promise<unknown>, syncs: boolean): Promise<void> {
    this.#closed = true;
    await this.#draining;
    await others;
    await this.#exclusively(async () => {
      if (syncs) await this.#connection.exec('PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE);');
      await this.#connection.close();
    });
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new LogError('LOG_CLOSED', 'The log is closed.');
  }

  async #drain(): Promise<void> {
    // Let the callers of this turn of the event loop join the first group.
    await Promise.resolve();
    let answer: Answer = () => undefined;
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      const committing = this.#exclusively(() => this.#commit(group));
      // Start the commit first: the callers of the previous group continue while this one commits.
      setImmediate(answer);
      answer = await committing;
      if (!this.#isFull) continue;
      setImmediate(answer);
      answer = () => undefined;
      await this.#exclusively(() => this.#roll());
    }
    answer();
    this.#draining = undefined;
  }

  #takeGroup(): Pending[] {
    let events = 0;
    let count = 0;
    for (const pending of this.#queue) {
      if (count > 0 && (count >= MAX_GROUP_CALLS || events + pending.events > MAX_GROUP_EVENTS)) break;
      count += 1;
      events += pending.events;
      this.#queuedBytes -= pending.bytes;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(group: readonly Pending[]): Promise<Answer> {
    try {
      await this.#learnNames();
      return (await this.#commitFast(group)) ?? (await this.#commitSlow(group));
    } catch (error) {
      for (const { appends } of group) for (const { stream } of appends) this.#heads.delete(stream);
      const failure = toLogError(error, this.#path);
      return () => {
        for (const { reject } of group) reject(failure);
      };
    }
  }

  /** Writes a group in one statement, using cached heads. Returns undefined if an append is refused or a key is violated. */
  async #commitFast(group: readonly Pending[]): Promise<Answer | undefined> {
    const recordedAt = this.#clock.now().toISOString();
    const unknown = new Set<string>();
    for (const { appends } of group) {
      for (const { stream, expected } of appends) {
        const isNew = expected === 'no-stream' && !this.#names.mayHave(stream);
        if (!isNew && !this.#heads.has(stream)) unknown.add(stream);
      }
    }
    // Heads that were read are kept here, because a group may name more streams than the cache holds.
    const heads = unknown.size === 0 ? new Map<string, number>() : await this.#readHeads([...unknown]);
    const headOf = (stream: string) => heads.get(stream) ?? this.#heads.get(stream) ?? NO_STREAM;
    const rows: string[] = [];
    const results: AppendResult[] = [];
    for (const pending of group) {
      const placed = assignPositions(pending.appends, headOf, this.#lastPosition + rows.length, recordedAt);
      if (placed instanceof LogError) return undefined;
      for (const row of placed.rows) rows.push(row);
      for (const [stream, head] of placed.heads) heads.set(stream, head);
      results.push(placed.last);
    }
    try {
      await this.#insert(rows);
    } catch (error) {
      if (error instanceof SqliteError && error.code === 'SQLITE_CONSTRAINT') return undefined;
      throw error;
    }
    this.#lastPosition += rows.length;
    this.#remember(heads);
    this.#onCommit(BigInt(this.#lastPosition));
    return () => {
      group.forEach(({ resolve }, i) => {
        const result = results[i];
        if (result !== undefined) resolve(result);
      });
    };
  }

  /** Writes a group one call at a time, checked against the file, in one transaction under the write lock. */
  async #commitSlow(group: readonly Pending[]): Promise<Answer> {
    const recordedAt = this.#clock.now().toISOString();
    const answers: Answer[] = [];
    let heads = new Map<string, number>();
    let position = 0;
    let wrote = false;
    await this.#connection.transaction('BEGIN IMMEDIATE', async () => {
      await this.#partitions.refresh(this.#connection);
      position = await this.#partitions.end(this.#connection);
      if (this.#partitions.newest.number !== this.#partition.number) {
        this.#dropHeads(await readDataVersion(this.#connection));
        this.#partition = this.#partitions.newest;
        this.#lastPosition = position;
        this.#isNamed = false;
      }
      heads = await this.#readHeads(group.flatMap(({ appends }) => appends.map(({ stream }) => stream)));
      for (const pending of group) {
        const { appends, resolve, reject } = pending;
        const placed = assignPositions(appends, (stream) => heads.get(stream) ?? NO_STREAM, position, recordedAt);
        if (placed instanceof LogError) {
          const stored = await this.#storedResult(pending);
          answers.push(() => {
            if (stored === undefined) reject(placed);
            else resolve(stored);
          });
          continue;
        }
        await this.#insert(placed.rows);
        wrote = true;
        position += placed.rows.length;
        for (const [stream, head] of placed.heads) heads.set(stream, head);
        answers.push(() => {
          resolve(placed.last);
        });
      }
    });
    this.#lastPosition = position;
    this.#remember(heads);
    if (wrote) this.#onCommit(BigInt(this.#lastPosition));
    return () => {
      for (const answer of answers) answer();
    };
  }

  /** The stored result of a call that repeats an earlier one: same ids at the same expected revisions. */
  async #storedResult({ appends }: Pending): Promise<AppendResult | undefined> {
    let stored: AppendResult | undefined;
    for (const append of appends) {
      stored = await this.#storedAppend(append);
      if (stored === undefined) return undefined;
    }
    return stored;
  }

  async #storedAppend({ stream, events, expected }: EncodedAppend): Promise<AppendResult | undefined> {
    if (expected === 'any' || expected === 'exists') return undefined;
    const after = expected === 'no-stream' ? -1n : expected;
    const rows = await this.#connection.all<{ id: string; position: number; revision: number }>(STORED_IDS, [
      stream,
      after,
      events.length,
    ]);
    const last = rows.at(-1);
    if (last === undefined || rows.length !== events.length || !rows.every(({ id }, i) => id === events[i]?.id)) {
      return undefined;
    }
    return { revision: BigInt(last.revision), position: BigInt(last.position) };
  }

  async #insert(rows: readonly string[]): Promise<void> {
    const table = tableOf(this.#partition.number);
    const [only] = rows;
    const json = rows.join(',');
    if (rows.length === 1 && only !== undefined)
      await this.#connection.run(INSERT_ONE(table), JSON.parse(only) as Param[]);
    else await this.#connection.run(INSERT(table), [`[${json}]`]);
    this.#isFull = this.#size.grew(json.length);
  }

  #remember(heads: ReadonlyMap<string, number>): void {
    for (const [stream, head] of heads) {
      this.#heads.set(stream, head);
      this.#names.add(stream);
    }
  }

  /** Makes the next partition if the newest one is full. If this fails, nothing has changed, and it is tried again later. */
  async #roll(): Promise<void> {
    this.#isFull = false;
    const { number } = this.#partition;
    let first: number | undefined;
    let dataVersion = this.#dataVersion;
    try {
      await this.#connection.transaction('BEGIN IMMEDIATE', async () => {
        await this.#partitions.refresh(this.#connection);
        const bytes = await this.#size.full(this.#connection);
        // Where another process has made it, the next append finds that out.
        if (bytes === undefined || this.#partitions.newest.number !== number) return;
        dataVersion = await readDataVersion(this.#connection);
        first = (await this.#partitions.end(this.#connection)) + 1;
        await addPartition(this.#connection, { number: number + 1, first }, bytes);
      });
      await this.#partitions.refresh(this.#connection);
    } catch (error) {
      if (!(error instanceof SqliteError)) throw error;
      this.#size.postpone();
      return;
    }
    if (first === undefined) return;
    this.#partition = { number: number + 1, first };
    this.#lastPosition = first - 1;
    const isAlone = dataVersion === this.#dataVersion;
    if (!isAlone) this.#dropHeads(dataVersion);
    else if (this.#isNamed && this.#named === number - 1) this.#named = number;
    this.#isNamed = true;
  }

  /** Another process has written: the heads of its streams are read again. */
  #dropHeads(dataVersion: number | undefined): void {
    this.#heads.clear();
    this.#dataVersion = dataVersion;
  }

  /** Reads the names of the streams in sealed partitions that this writer has not filled alone. */
  async #learnNames(): Promise<void> {
    this.#dataVersion ??= await readDataVersion(this.#connection);
    for (const { number } of this.#partitions.before(this.#partition.number)) {
      if (number <= this.#named) continue;
      for (const { stream } of await this.#connection.all<{ stream: string }>(NAMES(tableOf(number))))
        this.#names.add(stream);
      this.#named = number;
    }
  }

  async #readHeads(streams: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.#connection.all<{ stream: string; revision: number | null }>(HEADS, [
      JSON.stringify([...new Set(streams)]),
    ]);
    return new Map(rows.map(({ stream, revision }) => [stream, revision ?? NO_STREAM]));
  }
}

async function readDataVersion(connection: Connection): Promise<number> {
  const [row] = await connection.all<{ data_version: number }>('PRAGMA data_version');
  return row?.data_version ?? 0;
}
