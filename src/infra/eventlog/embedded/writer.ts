import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { Clock } from '../../platform/clock.js';
import { SqliteError, type Connection, type Param } from '../../sqlite/connection.js';
import { LogError } from '../errors.js';
import type { Append, AppendResult } from '../eventlog.js';
import type { Provenance } from '../prepare-append.js';
import { NO_STREAM, assignPositions, type EncodedAppend, type Head } from './assign-positions.js';
import { encodeAppend } from './event-row.js';
import { toLogError } from './log-file.js';

/** The most calls of one group: what shares a transaction and its fsync. */
const MAX_GROUP_CALLS = 50;
/** The most events of one group, unless a single call has more. */
const MAX_GROUP_EVENTS = 500;
/** The most calls waiting; beyond it they are refused. */
const MAX_QUEUED_CALLS = 10_000;
/** The most bytes waiting. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** Streams whose heads are remembered. */
const MAX_CACHED_HEADS = 50_000;

/** Inserts rows given as a JSON array of arrays: one statement, however many they are. */
const INSERT = `INSERT INTO events (position, stream, revision, id, type, etype, data, metadata, recorded_at, checksum)
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9
  FROM jsonb_each(?)`;
/** The same for a single row, which SQLite takes faster as it is. */
const INSERT_ONE = `INSERT INTO events (position, stream, revision, id, type, etype, data, metadata, recorded_at, checksum)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const INSERT_TOMBSTONE = `INSERT INTO events (position, stream, revision, id, type, etype, data, metadata, recorded_at, checksum)
  VALUES (?, ?, ?, '', '$tombstone', 0, '', '', ?, 0)`;
const LAST_POSITION = 'SELECT max(position) AS position FROM events';
const HEADS = `SELECT e.stream, e.revision, e.type FROM json_each(?) AS s
  JOIN events AS e ON e.stream = s.value AND e.revision = (SELECT max(revision) FROM events WHERE stream = s.value)`;
const STORED_IDS =
  'SELECT id, position, revision FROM events WHERE stream = ? AND revision > ? ORDER BY revision LIMIT ?';

/** The types of the rows that stand for truncated events and for the end of a stream. */
export const TRUNCATED = '$truncated';
export const TOMBSTONE = '$tombstone';

/** Appends of one call, all or none. */
interface Pending {
  readonly appends: readonly EncodedAppend[];
  readonly events: number;
  readonly bytes: number;
  readonly resolve: (last: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Tells the callers of a group how their appends ended. */
type Answer = () => void;

/**
 * Appends in groups: while one group commits, the next gathers, and each shares one statement, one transaction and one
 * fsync. Every append is still judged on its own expected revision; those of one call are all stored, or none.
 *
 * Judging uses remembered heads and positions; the unique keys on `position` and `(stream, revision)` guard against
 * what another process has written since. Where the guard strikes, or an append would be refused, the group is judged
 * again, one call at a time, under a write lock and on what the file says.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #onCommit: (head: bigint) => void;
  // By size: by number, room for all of them would be taken at once.
  readonly #heads = new LRUCache<string, Head>({ maxSize: MAX_CACHED_HEADS, sizeCalculation: () => 1 });
  readonly #exclusively = pLimit(1);
  #queue: Pending[] = [];
  #queuedBytes = 0;
  #lastPosition: number;
  #draining: Promise<void> | undefined;
  #closed = false;

  /**
   * @param head position of the log's last event
   * @param onCommit told the log's new head after each group that wrote something
   */
  constructor(connection: Connection, clock: Clock, path: string, head: bigint, onCommit: (head: bigint) => void) {
    this.#connection = connection;
    this.#clock = clock;
    this.#path = path;
    this.#lastPosition = Number(head);
    this.#onCommit = onCommit;
  }

  /**
   * Queues appends and answers once their group is durable: all of them are then, or none.
   * @param appends at least one
   * @returns where the last one ended
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

  /** Empties the rows of a stream below a revision; its last row always stays. */
  async truncate(stream: string, before: bigint): Promise<void> {
    this.#refuseWhenClosed();
    await this.#exclusively(async () => {
      await this.#connection.run(
        `UPDATE events SET data = '', metadata = '', type = '${TRUNCATED}', etype = 0, checksum = 0
         WHERE stream = ? AND revision < ? AND etype > 0
         AND revision < (SELECT max(revision) FROM events WHERE stream = ?)`,
        [stream, before, stream],
      );
    }).catch((error: unknown) => {
      throw toLogError(error, this.#path);
    });
  }

  /** Empties a stream and marks its end. Doing it again changes nothing. */
  async tombstone(stream: string): Promise<void> {
    this.#refuseWhenClosed();
    await this.#exclusively(async () => {
      await this.#connection.transaction('BEGIN IMMEDIATE', async () => {
        const head = (await this.#readHeads([stream])).get(stream) ?? NO_STREAM;
        if (head.tombstoned) return;
        const position = (await lastPosition(this.#connection)) + 1;
        const at = this.#clock.now().toISOString();
        await this.#connection.run(
          `UPDATE events SET data = '', metadata = '', type = '${TRUNCATED}', etype = 0, checksum = 0 WHERE stream = ?`,
          [stream],
        );
        await this.#connection.run(INSERT_TOMBSTONE, [position, stream, head.revision + 1, at]);
      });
      this.#heads.delete(stream);
      this.#lastPosition = await lastPosition(this.#connection);
    }).catch((error: unknown) => {
      throw toLogError(error, this.#path);
    });
    this.#onCommit(BigInt(this.#lastPosition));
  }

  /**
   * Refuses everything new, finishes what is queued, and closes the connection.
   * @param others awaited first: only the last connection to close folds the write-ahead log back into the file
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
      // The disk first: what the callers of the group before do next is done while this one commits.
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

  /** One statement for the whole group, on remembered heads. Returns nothing when that cannot be done or did not hold. */
  async #commitFast(group: readonly Pending[]): Promise<Answer | undefined> {
    const recordedAt = this.#clock.now().toISOString();
    const unknown = new Set<string>();
    for (const { appends } of group) {
      for (const { stream, expected } of appends) {
        if (expected !== 'no-stream' && !this.#heads.has(stream)) unknown.add(stream);
      }
    }
    // What is read is kept here: a call may name more streams than are remembered.
    const heads = unknown.size === 0 ? new Map<string, Head>() : await this.#readHeads([...unknown]);
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

  /** One call at a time, on what the file says, in one transaction under the write lock. */
  async #commitSlow(group: readonly Pending[]): Promise<Answer> {
    const recordedAt = this.#clock.now().toISOString();
    const answers: Answer[] = [];
    let heads = new Map<string, Head>();
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

  /** What a call that was made before got: the same ids at the same pinned revisions. */
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

  async #readHeads(streams: readonly string[]): Promise<Map<string, Head>> {
    const heads = new Map<string, Head>(streams.map((stream) => [stream, NO_STREAM]));
    const rows = await this.#connection.all<{ stream: string; revision: number; type: string }>(HEADS, [
      JSON.stringify([...heads.keys()]),
    ]);
    for (const { stream, revision, type } of rows) heads.set(stream, { revision, tombstoned: type === TOMBSTONE });
    return heads;
  }
}

async function lastPosition(connection: Connection): Promise<number> {
  const [row] = await connection.all<{ position: number | null }>(LAST_POSITION);
  return row?.position ?? 0;
}
