import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { Clock } from '../../platform/clock.js';
import { SqliteError, type Connection, type Param } from '../../sqlite/connection.js';
import { LogError } from '../errors.js';
import type { Append, AppendResult } from '../eventlog.js';
import type { Provenance } from '../prepare-append.js';
import { assignPositions, NO_STREAM, type EncodedAppend } from './assign-positions.js';
import { encodeAppend, EVENT_COLUMNS } from './event-row.js';
import { toLogError } from './log-file.js';

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
const INSERT = `INSERT INTO events (${EVENT_COLUMNS})
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9
  FROM jsonb_each(?)`;
/** Inserts a single row; SQLite does this faster without JSON. */
const INSERT_ONE = `INSERT INTO events (${EVENT_COLUMNS})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const LAST_POSITION = 'SELECT max(position) AS position FROM events';
const HEADS = `SELECT value AS stream, (SELECT max(revision) FROM events WHERE stream = value) AS revision
  FROM json_each(?)`;
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

/**
 * Appends in groups: while one group commits, the next one gathers. A group shares one statement, one transaction and one
 * fsync. Each append is still checked against its own expected revision; the appends of one call are stored all or none.
 *
 * The check uses cached heads and positions; the unique keys on `position` and `(stream, revision)` detect writes of
 * another process since. If a key is violated, or an append would be refused, the group is checked again, one call at a
 * time, under a write lock and against the file.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #onCommit: (head: bigint) => void;
  // Limited by size: with a limit by number the cache would allocate memory for all entries immediately.
  readonly #heads = new LRUCache<string, number>({ maxSize: MAX_CACHED_HEADS, sizeCalculation: () => 1 });
  readonly #exclusively = pLimit(1);
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #lastPosition: number;
  #draining: Promise<void> | undefined;
  #closed = false;

  /**
   * @param head position of the log's last event
   * @param onCommit called with the log's new head after each group that wrote events
   */
  constructor(connection: Connection, clock: Clock, path: string, head: bigint, onCommit: (head: bigint) => void) {
    this.#connection = connection;
    this.#clock = clock;
    this.#path = path;
    this.#lastPosition = Number(head);
    this.#onCommit = onCommit;
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
        if (expected !== 'no-stream' && !this.#heads.has(stream)) unknown.add(stream);
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
    for (const [stream, head] of heads) this.#heads.set(stream, head);
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
      position = await lastPosition(this.#connection);
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
    for (const [stream, head] of heads) this.#heads.set(stream, head);
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
    const [only] = rows;
    if (rows.length === 1 && only !== undefined) await this.#connection.run(INSERT_ONE, JSON.parse(only) as Param[]);
    else await this.#connection.run(INSERT, [`[${rows.join(',')}]`]);
  }

  async #readHeads(streams: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.#connection.all<{ stream: string; revision: number | null }>(HEADS, [
      JSON.stringify([...new Set(streams)]),
    ]);
    return new Map(rows.map(({ stream, revision }) => [stream, revision ?? NO_STREAM]));
  }
}

async function lastPosition(connection: Connection): Promise<number> {
  const [row] = await connection.all<{ position: number | null }>(LAST_POSITION);
  return row?.position ?? 0;
}
