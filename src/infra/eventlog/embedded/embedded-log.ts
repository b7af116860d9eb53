import { setImmediate as nextTurn } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { RecordedEvent } from '../../../domain/event.js';
import type { Clock } from '../../platform/clock.js';
import { LinkedSignal } from '../../platform/linked-signal.js';
import { Connection, type Param } from '../../sqlite/connection.js';
import { Pool } from '../../sqlite/pool.js';
import { LogError } from '../errors.js';
import {
  MAX_EVENT_BYTES,
  type Append,
  type AppendResult,
  type EventBatch,
  type EventFilter,
  type EventLog,
  type EventPlace,
  type ExpectedRevision,
  type NewEvent,
  type ReadAllOptions,
  type ReadStreamOptions,
  type SubscribeOptions,
} from '../eventlog.js';
import { filterCondition } from './filter-condition.js';
import { ReadTail, type Page, type SizedEvent } from '../tail.js';
import { decode, EMPTIED, EVENT_COLUMNS, type EventRow } from './event-row.js';
import { openLogFile, toLogError, type OpenFile, type OpenFileOptions } from './log-file.js';
import { PARTITION_BYTES } from './partition-size.js';
import type { Partitions } from './partitions.js';
import { Writer } from './writer.js';

/** The number of connections for reading. */
const READERS = 3;
/** The most events in a batch by default. */
const DEFAULT_BATCH = 1_000;
/** The most bytes of data and metadata in one read, unless a single event has more. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024;
/** The most positions that one filtered read scans, so that a filter with few matches does not run a long statement. */
const SCAN_SPAN = 20_000;
/** Events decoded before yielding to the event loop: about half a millisecond of work. */
const SLICE = 128;
/** How often the file is polled for writes of another process, in milliseconds. */
const FOREIGN_POLL_MS = 100;

/**
 * A row that a repair has emptied has etype 0: it occupies its revision and position, and is never read. Its type marks it
 * too, so that damage to one column cannot make an event look emptied: such a row is read, and fails its checksum.
 */
const READABLE = `(etype > 0 OR type <> '${EMPTIED}')`;
/** SQLite takes the bare columns beside max() from the row with the highest position. */
const COUNT_POSITIONS = (
  table: string,
) => `SELECT count(*) AS count, max(position) AS position, stream, revision, id, etype
  FROM ${table} WHERE position > ? AND position <= ?`;
const COUNT_REVISIONS = 'SELECT count(*) AS count FROM events WHERE stream = ? AND revision >= ? AND revision < ?';
const AT = (table: string) => `SELECT ${EVENT_COLUMNS} FROM ${table} WHERE position = ?`;

/** How to open a log. */
export interface OpenOptions extends OpenFileOptions {
  /** The size of a partition in a log that is not large, in bytes: 5 MiB by default. */
  readonly partitionBytes?: number;
}

/**
 * The log in one SQLite file, `log.db`, with WAL and `synchronous=FULL`: an append that has resolved has been fsynced.
 *
 * Appends go through the Writer, which groups them. Readers page through the file on separate connections. Readers at its
 * end share the Tail, which is refreshed after appends of this process and by a poll of `data_version` for those of others.
 */
export class EmbeddedLog implements EventLog {
  readonly logId: string;
  readonly #path: string;
  readonly #syncs: 'EACH_COMMIT' | 'ON_CLOSE';
  readonly #partitions: Partitions;
  readonly #writer: Writer;
  readonly #readers: Pool;
  readonly #poller: Connection;
  readonly #tail: ReadTail;
  readonly #closing = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #polling = pLimit(1);
  #subscribers = 0;
  /** The head as far as it is known: the file extends at least this far. */
  #end: bigint;
  #dataVersion: number | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    path: string,
    file: OpenFile,
    readers: Pool,
    poller: Connection,
    clock: Clock,
    head: bigint,
    { syncs = 'EACH_COMMIT', partitionBytes = PARTITION_BYTES }: OpenOptions,
  ) {
    this.#path = path;
    this.#syncs = syncs;
    this.logId = file.logId;
    this.#partitions = file.partitions;
    const onCommit = (end: bigint) => {
      this.#grown(end);
    };
    this.#writer = new Writer({ ...file, clock, path, head, partitionBytes, onCommit });
    this.#readers = readers;
    this.#poller = poller;
    this.#end = head;
    this.#tail = new ReadTail(head, (after) => this.#scan(after, this.#end, undefined, DEFAULT_BATCH));
    this.#timer = setInterval(() => void this.#polling(() => this.#pollForeign()), FOREIGN_POLL_MS).unref();
  }

  /**
   * Opens or creates a log.
   * @throws LogError LOG_CORRUPT, LOG_READONLY, LOG_FULL, LOG_BUSY, LOG_FAILED, with what is wrong with the file
   */
  static async open(path: string, clock: Clock, options: OpenOptions = {}): Promise<EmbeddedLog> {
    const opened: { close(): Promise<void> }[] = [];
    try {
      const file = await openLogFile(path, options);
      const { connection, partitions } = file;
      opened.push(connection);
      const readers = await Pool.open(path, 'read', READERS);
      opened.push(readers);
      const poller = await Connection.open(path, 'read');
      opened.push(poller);
      const head = BigInt(await partitions.end(connection));
      return new EmbeddedLog(path, file, readers, poller, clock, head, options);
    } catch (error) {
      for (const resource of opened) await resource.close().catch(() => undefined);
      throw toLogError(error, path);
    }
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult> {
    return this.#writer.append([{ stream, events, expected }], 'COMMANDS');
  }

  async appendAll(appends: readonly Append[]): Promise<void> {
    if (appends.length > 0) await this.#writer.append(appends, 'HISTORY');
  }

  async *readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    const { direction = 'forward', limit = Number.POSITIVE_INFINITY } = options;
    const forward = direction === 'forward';
    const condition = `stream = ? AND revision ${forward ? '>=' : '<='} ? AND ${READABLE}`;
    const order = `revision ${forward ? 'ASC' : 'DESC'}`;
    let from = options.from ?? (forward ? 0n : BigInt(Number.MAX_SAFE_INTEGER));
    let left = limit;
    for (const table of await this.#reading((reader) => this.#partitions.having(reader, stream, from, direction))) {
      for (let isRead = false; !isRead && left > 0 && from >= 0n;) {
        const size = Math.min(DEFAULT_BATCH, left);
        const { sized, isCut } = await this.#readPage(table, condition, order, [stream, from], size);
        const events = sized.map(({ event }) => event);
        await this.#assertRevisionsWhole(stream, events, from, forward);
        yield* events;
        const last = events.at(-1);
        isRead = last === undefined || (events.length < size && !isCut);
        left -= events.length;
        if (last !== undefined) from = last.revision + (forward ? 1n : -1n);
      }
    }
  }

  async *readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    const { filter, limit = Number.POSITIVE_INFINITY } = options;
    const head = await this.head();
    let after = options.from === undefined ? (options.after ?? 0n) : options.from - 1n;
    let left = limit;
    while (left > 0 && after < head) {
      const { events, through } = await this.#scan(after, head, filter, Math.min(DEFAULT_BATCH, left));
      for (const { event } of events) yield event;
      left -= events.length;
      after = through;
    }
  }

  async hasPosition(position: bigint): Promise<boolean> {
    return position <= (await this.head());
  }

  async *subscribe(options: SubscribeOptions): AsyncIterable<EventBatch> {
    const { filter, batchSize = DEFAULT_BATCH } = options;
    const head = await this.head();
    if (this.#subscribers === 0) this.#tail.reset(head);
    this.#subscribers += 1;
    this.#grown(head);
    const ended = new LinkedSignal(options.signal, this.#closing.signal);
    const { signal } = ended;
    try {
      let cursor = options.after;
      let announced = false;
      while (!signal.aborted) {
        const batch = this.#tail.covers(cursor)
          ? this.#tail.batch(cursor, filter, batchSize)
          : withoutSizes(await this.#scan(cursor, this.#tail.to, filter, batchSize));
        if (batch.through > cursor || (batch.live && !announced)) {
          cursor = batch.through;
          announced = batch.live;
          yield batch;
          continue;
        }
        await this.#tail.changed(cursor, signal);
        if (signal.aborted || this.#tail.to > cursor) continue;
        // Woken without new events: a read failed. Repeating it gives the reader the error, unless the cause has passed.
        const end = await this.head();
        await this.#scan(cursor, end, undefined, DEFAULT_BATCH);
        this.#grown(end);
      }
    } finally {
      this.#subscribers -= 1;
      ended.end();
    }
    if (!options.signal.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
  }

  async has({ position, id }: EventPlace): Promise<boolean> {
    const [row] = await this.#select(AT(this.#partitions.at(position).table), [position]);
    // `decode` verifies that a different id is not the result of damage.
    return row !== undefined && (row.etype === 0 || row.id === id || decode(row).id === id);
  }

  async head(): Promise<bigint> {
    return BigInt(await this.#reading((reader) => this.#partitions.end(reader)));
  }

  serverVersion(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown();
    return this.#closed;
  }

  async #shutDown(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    const others = Promise.all([this.#polling(() => this.#poller.close()), this.#readers.close()]);
    await this.#writer.close(others, this.#syncs === 'ON_CLOSE');
  }

  /** Notes that the log extends to this position, and refreshes the tail if it has readers. */
  #grown(end: bigint): void {
    if (end > this.#end) this.#end = end;
    if (this.#subscribers > 0) void this.#tail.refresh();
  }

  /** Checks whether another process has written. */
  async #pollForeign(): Promise<void> {
    if (this.#subscribers === 0 || this.#closing.signal.aborted) return;
    const [row] = await this.#poller.all<{ data_version: number }>('PRAGMA data_version').catch(() => []);
    if (row === undefined || row.data_version === this.#dataVersion) return;
    const end = await this.head().catch(() => undefined);
    if (end === undefined) return;
    this.#dataVersion = row.data_version;
    this.#grown(end);
  }

  #select<R = EventRow>(sql: string, params: readonly Param[]): Promise<R[]> {
    return this.#reading((reader) => reader.all<R>(sql, params));
  }

  async #reading<R>(read: (reader: Connection) => Promise<R>): Promise<R> {
    if (this.#closing.signal.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
    try {
      return await this.#readers.use(read);
    } catch (error) {
      throw toLogError(error, this.#path);
    }
  }

  /** Reads events of one partition up to an existing position: at most `limit` matches, and with a filter SCAN_SPAN positions. */
  async #scan(after: bigint, head: bigint, filter: EventFilter | undefined, limit: number): Promise<Page> {
    if (head <= after) return { events: [], through: after, live: true };
    const { table, last: lastOfPartition = head } = this.#partitions.at(after + 1n);
    const span = filter === undefined ? head : after + BigInt(SCAN_SPAN);
    const upTo = least(span, head, lastOfPartition);
    const matching = filterCondition(filter);
    const condition = `position > ? AND position <= ? AND ${READABLE} ${matching.sql}`;
    const params = [after, upTo, ...matching.params];
    const { sized: events, isCut } = await this.#readPage(table, condition, 'position', params, limit);
    const last = events.at(-1);
    const through = (isCut || events.length === limit) && last !== undefined ? last.event.position : upTo;
    const found = await this.#assertPositionsWhole(table, events, after, through);
    return { events, through, last: found, live: through >= head };
  }

  /**
   * Reads the next rows: at most `limit`, and at most MAX_PAGE_BYTES in total, but at least one.
   * `isCut` is true if there may be more rows although fewer than `limit` were read.
   */
  async #readPage(
    table: string,
    condition: string,
    order: string,
    params: readonly Param[],
    limit: number,
  ): Promise<{ readonly sized: readonly SizedEvent[]; readonly isCut: boolean }> {
    const sizes = `SELECT stream, revision, position, octet_length(data) + octet_length(metadata) AS bytes
      FROM ${table} WHERE ${condition} ORDER BY ${order} LIMIT ?`;
    const fitting = `SELECT max(1, count(*)) FROM (SELECT sum(bytes) OVER (ORDER BY ${order}) AS total FROM (${sizes}))
      WHERE total <= ${MAX_PAGE_BYTES}`;
    const sql = `SELECT ${EVENT_COLUMNS} FROM ${table} WHERE ${condition} ORDER BY ${order} LIMIT (${fitting})`;
    const sized: SizedEvent[] = [];
    let total = 0;
    for (const row of await this.#select(sql, [...params, ...params, limit])) {
      if (sized.length > 0 && sized.length % SLICE === 0) await nextTurn();
      const event = decode(row);
      // An upper estimate of its size in memory.
      const bytes = (row.data.length + row.metadata.length) * 4 + 400;
      sized.push({ event, bytes });
      total += bytes;
    }
    return { sized, isCut: total > MAX_PAGE_BYTES - MAX_EVENT_BYTES };
  }

  /**
   * Positions have no gaps in the file. If one is missing or out of order, rows were lost to damage.
   * @returns the last event up to `through`, whether it was read or not; undefined if it was emptied
   */
  async #assertPositionsWhole(
    table: string,
    events: Page['events'],
    after: bigint,
    through: bigint,
  ): Promise<EventPlace | undefined> {
    let previous = after;
    for (const { event } of events) {
      if (event.position <= previous) throw this.#lost(`after position ${String(previous)}`);
      previous = event.position;
    }
    if (BigInt(events.length) === through - after) return events.at(-1)?.event;
    const [row] = await this.#select<EventRow & { count: number }>(COUNT_POSITIONS(table), [after, through]);
    if (row === undefined || BigInt(row.count) !== through - after) {
      throw this.#lost(`between positions ${String(after)} and ${String(through)}`);
    }
    const { stream, revision, id, etype } = row;
    return etype === 0 ? undefined : { position: through, stream, revision: BigInt(revision), id };
  }

  /** Revisions have no gaps either: emptied rows may precede the first event that is read. */
  async #assertRevisionsWhole(
    stream: string,
    events: readonly RecordedEvent[],
    from: bigint,
    forward: boolean,
  ): Promise<void> {
    const [first] = events;
    if (first === undefined) return;
    const step = forward ? 1n : -1n;
    const whole = events.every(({ revision }, i) => revision === first.revision + BigInt(i) * step);
    const skipped = forward ? first.revision - from : 0n;
    if (whole && skipped <= 0n) return;
    const [row] = await this.#select<{ count: number }>(COUNT_REVISIONS, [stream, from, first.revision]);
    if (!whole || BigInt(row?.count ?? 0) !== skipped) throw this.#lost(`of stream '${stream}'`);
  }

  #lost(where: string): LogError {
    return new LogError(
      'LOG_CORRUPT',
      `${this.#path} is damaged: events are missing ${where}. Stop the core and run \`sheratan restore --repair\`, or restore the file from a copy.`,
      undefined,
      this.#path,
    );
  }
}

function least(...positions: readonly bigint[]): bigint {
  return positions.reduce((a, b) => (b < a ? b : a));
}

function withoutSizes({ events, ...rest }: Page): EventBatch {
  return { ...rest, events: events.map(({ event }) => event) };
}
