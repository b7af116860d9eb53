import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { Clock } from '../clock.js';
import { SqliteError, type Connection, type Param } from '../sqlite/connection.js';
import { encodeAppend, rowJson, type EncodedEvent } from './encoding.js';
import { LogError, WrongExpectedRevision } from './errors.js';
import type { AppendResult, ExpectedRevision, NewEvent } from './eventlog.js';
import { toLogError } from './file.js';

/** The most appends of one group: what shares a transaction and its fsync. */
const MAX_GROUP_APPENDS = 50;
/** The most events of one group, unless a single append has more. */
const MAX_GROUP_EVENTS = 500;
/** The most appends waiting; beyond it they are refused. */
const MAX_QUEUED_APPENDS = 10_000;
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

/** The end of a stream: the revision of its last row, −1 for none. */
interface Head {
  readonly revision: number;
  readonly tombstoned: boolean;
}

const NO_STREAM: Head = { revision: -1, tombstoned: false };

interface Pending {
  readonly stream: string;
  readonly events: readonly EncodedEvent[];
  readonly bytes: number;
  readonly expected: ExpectedRevision;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Tells the callers of a group how their appends ended. */
type Answer = () => void;

/**
 * Appends in groups: while one group commits, the next gathers, and each shares one statement, one transaction and one
 * fsync. Every append is still judged on its own expected revision.
 *
 * Judging uses remembered heads and positions; the unique keys on `position` and `(stream, revision)` guard against
 * what another process has written since. Where the guard strikes, or an append would be refused, the group is judged
 * again, one append at a time, under a write lock and on what the file says.
 */
export class Writer {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #onCommit: (head: bigint) => void;
  readonly #heads = new LRUCache<string, Head>({ max: MAX_CACHED_HEADS });
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

  /** Queues an append and answers once its group is durable. */
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.#refuseWhenClosed();
      const encoded = encodeAppend(stream, events);
      const bytes = encoded.reduce((sum, event) => sum + event.bytes, 0);
      if (this.#queue.length >= MAX_QUEUED_APPENDS || this.#queuedBytes + bytes > MAX_QUEUED_BYTES) {
        throw new LogError(
          'LOG_OVERLOADED',
          `${String(this.#queue.length)} appends are waiting for the disk; try again in a moment.`,
        );
      }
      this.#queue.push({ stream, events: encoded, bytes, expected, resolve, reject });
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
      if (count > 0 && (count >= MAX_GROUP_APPENDS || events + pending.events.length > MAX_GROUP_EVENTS)) break;
      count += 1;
      events += pending.events.length;
      this.#queuedBytes -= pending.bytes;
    }
    return this.#queue.splice(0, count);
  }

  async #commit(group: readonly Pending[]): Promise<Answer> {
    try {
      return (await this.#commitFast(group)) ?? (await this.#commitSlow(group));
    } catch (error) {
      for (const { stream } of group) this.#heads.delete(stream);
      const failure = toLogError(error, this.#path);
      return () => {
        for (const { reject } of group) reject(failure);
      };
    }
  }

  /** One statement for the whole group, on remembered heads. Returns nothing when that cannot be done or did not hold. */
  async #commitFast(group: readonly Pending[]): Promise<Answer | undefined> {
    const recordedAt = this.#clock.now().toISOString();
    const unknown = group.filter(({ stream, expected }) => expected !== 'no-stream' && !this.#heads.has(stream));
    if (unknown.length > 0) {
      for (const [stream, head] of await this.#readHeads(unknown.map(({ stream }) => stream)))
        this.#heads.set(stream, head);
    }
    const heads = new Map<string, Head>();
    const rows: string[] = [];
    const results: AppendResult[] = [];
    for (const pending of group) {
      const { stream, events, expected } = pending;
      const head = heads.get(stream) ?? this.#heads.get(stream) ?? NO_STREAM;
      if (refusal(stream, head, expected) !== undefined) return undefined;
      addRows(rows, pending, head, this.#lastPosition + rows.length, recordedAt);
      const revision = head.revision + events.length;
      heads.set(stream, { revision, tombstoned: false });
      results.push({ revision: BigInt(revision), position: BigInt(this.#lastPosition + rows.length) });
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

  /** One append at a time, on what the file says, in one transaction under the write lock. */
  async #commitSlow(group: readonly Pending[]): Promise<Answer> {
    const recordedAt = this.#clock.now().toISOString();
    const answers: Answer[] = [];
    const heads = new Map<string, Head>();
    let position = 0;
    let wrote = false;
    await this.#connection.transaction('BEGIN IMMEDIATE', async () => {
      position = await lastPosition(this.#connection);
      for (const [stream, head] of await this.#readHeads(group.map(({ stream }) => stream))) heads.set(stream, head);
      for (const pending of group) {
        const { stream, events, expected, resolve, reject } = pending;
        const head = heads.get(stream) ?? NO_STREAM;
        const refused = refusal(stream, head, expected);
        if (refused !== undefined) {
          const stored = await this.#storedResult(pending);
          answers.push(() => {
            if (stored === undefined) reject(refused);
            else resolve(stored);
          });
          continue;
        }
        const rows: string[] = [];
        addRows(rows, pending, head, position, recordedAt);
        await this.#insert(rows);
        wrote = true;
        position += rows.length;
        const revision = head.revision + events.length;
        heads.set(stream, { revision, tombstoned: false });
        const result = { revision: BigInt(revision), position: BigInt(position) };
        answers.push(() => {
          resolve(result);
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

  /** What an append that was made before got: the same ids at the same pinned revision. */
  async #storedResult({ stream, events, expected }: Pending): Promise<AppendResult | undefined> {
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

/** Adds the rows of an append that follows a head and a position. */
function addRows(rows: string[], { stream, events }: Pending, head: Head, after: number, recorded_at: string): void {
  events.forEach((event, i) => {
    rows.push(rowJson(event, { position: after + i + 1, stream, revision: head.revision + i + 1, recorded_at }));
  });
}

/** Why an append may not follow a head, if it may not. */
function refusal(stream: string, head: Head, expected: ExpectedRevision): LogError | undefined {
  if (head.tombstoned) {
    return new LogError('STREAM_TOMBSTONED', `Stream '${stream}' was tombstoned; it takes no more events.`);
  }
  const actual = BigInt(head.revision);
  switch (expected) {
    case 'any':
      return undefined;
    case 'no-stream':
      return actual < 0n ? undefined : new WrongExpectedRevision(stream, expected, actual);
    case 'exists':
      return actual >= 0n ? undefined : new WrongExpectedRevision(stream, expected, actual);
    default:
      return actual === expected ? undefined : new WrongExpectedRevision(stream, expected, actual);
  }
}

async function lastPosition(connection: Connection): Promise<number> {
  const [row] = await connection.all<{ position: number | null }>(LAST_POSITION);
  return row?.position ?? 0;
}
