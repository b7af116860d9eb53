import {
  BACKWARDS,
  END,
  FORWARDS,
  START,
  StreamDeletedError,
  StreamNotFoundError,
  type AllStreamRecordedEvent,
  type Direction,
  type EventStoreDBClient,
  type ReadPosition,
  type ReadRevision,
  type RecordedEvent as ServerRecord,
  type StreamingRead,
} from '@eventstore/db-client';
import type { ReadStreamOptions } from '../eventlog.js';
import type { AnyRecord, EventCodec } from './event-codec.js';
import { readAllFiltered } from './connection.js';
import { Ended, isInvalidPosition } from './failures.js';
import { readableChunks } from './readable-chunks.js';
import { Tries, type ReconnectingClient } from './reconnecting-client.js';

/** Records in the first read for the last one of ours, whoever wrote them: it is usually among them. */
const LAST_RECORDS = 8;
/** How long the server may search the log for a record of ours, in milliseconds. */
const SEARCH_MS = 60_000;
const ALL = Number.MAX_SAFE_INTEGER;

/** The place of a record, or of the end of an empty log. */
export interface End {
  readonly position: bigint;
  /** The server's name of its stream. */
  readonly stream: string | undefined;
}

const NOTHING: End = { position: 0n, stream: undefined };

/** A read, record by record, that can be resumed. */
interface Reading<From, R> {
  readonly from: From;
  readonly limit: number;
  readonly open: (client: EventStoreDBClient, from: From, limit: number) => StreamingRead<Resolved<R>>;
  /** How long the server may take to answer, in milliseconds; by default as long as for any call. */
  readonly answerMs?: number;
  /** Whether an error is the answer that no record begins at the position; it is thrown as it is. */
  readonly isRefusal?: (error: unknown) => boolean;
  /** Where to resume after a record; undefined if no record can follow. */
  readonly after: (record: R) => From | undefined;
}

interface Resolved<R> {
  readonly event?: R;
}

interface AllReading {
  readonly direction: Direction;
  readonly from: ReadPosition;
  /** Unlimited by default. */
  readonly limit?: number;
  /** The prefixes of the streams to read; all streams by default. */
  readonly prefixes?: readonly string[];
  readonly answerMs?: number;
}

/** What a search for the last record of ours has found. */
interface Known {
  readonly end: End;
  /** The last record of all that was searched. */
  readonly last: { readonly id: string; readonly position: bigint };
}

/** Reads from the server; resumes when a connection breaks. */
export class Reader {
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  /** The last record of ours, and the last record of all when it was found. */
  #known: Known | undefined;
  #start = NOTHING;
  /** The position of the last record of ours that this core wrote. */
  #wrote = 0n;
  #reading: Promise<End> | undefined;
  #next: Promise<End> | undefined;

  constructor(connection: ReconnectingClient, codec: EventCodec) {
    this.#connection = connection;
    this.#codec = codec;
  }

  /** No record of ours lies before this position. */
  get start(): bigint {
    return this.#start.position;
  }

  /** Sets the record before which no record of ours lies. */
  startAt(start: End): void {
    this.#start = start;
  }

  /** The records of a stream, by its name on the server; none if it does not exist or was deleted. @throws LogError */
  stream(name: string, options: ReadStreamOptions = {}): AsyncIterable<AnyRecord> {
    const isForward = options.direction !== 'backward';
    const direction = isForward ? FORWARDS : BACKWARDS;
    return this.#read<ReadRevision, ServerRecord>({
      from: options.from ?? (isForward ? START : END),
      limit: options.limit ?? ALL,
      open: (client, fromRevision, maxCount) =>
        client.readStream(name, { fromRevision, direction, maxCount, requiresLeader: true }),
      after: ({ revision }) => (isForward ? revision + 1n : revision > 0n ? revision - 1n : undefined),
    });
  }

  /** The position of the last record of ours, as of now; 0 if there is none. @throws LogError */
  async head(): Promise<bigint> {
    return (await this.end()).position;
  }

  /**
   * The last record of ours, as of now. The server and other applications may write after it: the server searches what was
   * recorded since the last search, or else the log from its end, and sends only records of ours. @throws LogError
   */
  end(): Promise<End> {
    if (this.#reading === undefined) {
      const reading = this.#findEnd().finally(() => {
        this.#reading = undefined;
      });
      this.#reading = reading;
      return reading;
    }
    // A caller during a search might miss events recorded since it began, so these callers share the next search.
    this.#next ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.end();
      });
    return this.#next;
  }

  /**
   * Whether the log can be read from a position, because a record begins there or began there until the server was
   * scavenged. @throws LogError
   */
  async hasPosition(position: bigint): Promise<boolean> {
    return position === 0n || (await this.recordFrom(position)) !== undefined;
  }

  /** The first record at a position or after it; undefined when no record begins there. @throws LogError */
  async recordFrom(position: bigint): Promise<AllStreamRecordedEvent | undefined> {
    try {
      return await first(this.#all({ direction: FORWARDS, from: at(position), limit: 1 }));
    } catch (error) {
      if (isInvalidPosition(error)) return undefined;
      throw error;
    }
  }

  /** Notes the position of a record of ours that this core wrote: later searches begin there. */
  wrote(position: bigint): void {
    if (position > this.#wrote) this.#wrote = position;
  }

  async #findEnd(): Promise<End> {
    const known = this.#known;
    let last: AllStreamRecordedEvent | undefined;
    for await (const record of this.#all({ direction: BACKWARDS, from: END, limit: LAST_RECORDS })) {
      last ??= record;
      if (record.id === known?.last.id) return this.#found(known.end, last);
      if (this.#codec.isOurs(record)) return this.#found(endAt(record), last);
    }
    if (last === undefined) return NOTHING;
    const since = known === undefined ? undefined : await this.#searchSince(known, last);
    if (since === 'none' && known !== undefined) return this.#found(known.end, last);
    const record = since ?? (await this.#searchBackwards());
    if (record === undefined || record === 'none') return this.#found(NOTHING, last);
    // It may have been recorded after the last record of all was read.
    return this.#found(endAt(record), record.position.commit > last.position.commit ? record : last);
  }

  /** The last record of ours since an earlier search; undefined when the log is not the one that was searched. */
  async #searchSince(known: Known, last: AllStreamRecordedEvent): Promise<AllStreamRecordedEvent | 'none' | undefined> {
    const hasWritten = this.#wrote > known.last.position;
    const from = hasWritten ? this.#wrote : known.last.position;
    if (last.position.commit < from) return undefined;
    let found: AllStreamRecordedEvent | undefined;
    try {
      const prefixes = this.#codec.prefixes();
      for await (const record of this.#all({ direction: FORWARDS, from: at(from), prefixes }))
        if (this.#codec.isOurs(record)) found = record;
    } catch (error) {
      if (isInvalidPosition(error)) return undefined;
      throw error;
    }
    return found ?? (hasWritten ? undefined : 'none');
  }

  /** The last record of ours in the whole log. The search ends at the record that names the log, before which there is none. */
  async #searchBackwards(): Promise<AllStreamRecordedEvent | undefined> {
    const { position, stream } = this.#start;
    const prefixes = [...this.#codec.prefixes(), ...(stream === undefined ? [] : [stream])];
    for await (const record of this.#all({ direction: BACKWARDS, from: END, prefixes, answerMs: SEARCH_MS })) {
      if (this.#codec.isOurs(record)) return record;
      if (record.position.commit <= position) break;
    }
    return undefined;
  }

  #found(end: End, { id, position }: AllStreamRecordedEvent): End {
    this.#known = { end, last: { id, position: position.commit } };
    return end;
  }

  /** The records of all streams, or of those with some prefixes. Reading forwards repeats a record when a connection breaks. */
  #all({ direction, from, limit = ALL, prefixes, answerMs }: AllReading): AsyncIterable<AllStreamRecordedEvent> {
    return this.#read<ReadPosition, AllStreamRecordedEvent>({
      from,
      limit,
      ...(answerMs === undefined ? {} : { answerMs }),
      ...(typeof from === 'string' ? {} : { isRefusal: isInvalidPosition }),
      open: (client, fromPosition, maxCount) => {
        const options = { direction, fromPosition, maxCount, requiresLeader: true };
        return prefixes === undefined ? client.readAll(options) : readAllFiltered(client, options, prefixes);
      },
      after: ({ position }) => position,
    });
  }

  async *#read<From, R>({ from: start, limit, open, after, ...reading }: Reading<From, R>): AsyncIterable<R> {
    const tries = new Tries();
    let from = start;
    for (let left = limit; left > 0;) {
      const answerMs = Math.max(this.#connection.start(tries), reading.answerMs ?? 0);
      const { client } = this.#connection;
      try {
        for await (const record of this.#once(client, open(client, from, left), answerMs)) {
          tries.succeeded();
          this.#connection.succeeded();
          left -= 1;
          yield record;
          const next = after(record);
          if (next === undefined) return;
          from = next;
        }
        this.#connection.succeeded();
        return;
      } catch (error) {
        const isMissing = error instanceof StreamNotFoundError || error instanceof StreamDeletedError;
        const isRefused = reading.isRefusal?.(error) === true;
        if (isMissing || isRefused) this.#connection.succeeded();
        if (isMissing) return;
        if (isRefused) throw error;
        await this.#connection.retry(client, error, tries);
      }
    }
  }

  async *#once<R>(client: EventStoreDBClient, read: StreamingRead<Resolved<R>>, answerMs: number): AsyncIterable<R> {
    const items = readableChunks<Resolved<R>>(read, {
      signal: this.#connection.closing,
      answerMs,
      isPatient: () => false,
      cancel: () => read.cancel(),
    });
    for await (const some of items) for (const { event } of some) if (event !== undefined) yield event;
    this.#connection.assertOpen();
    // A client that was replaced ends its reads as if they were complete.
    if (client !== this.#connection.client) throw new Ended();
  }
}

/** The first of some records. */
export async function first<R>(records: AsyncIterable<R>): Promise<R | undefined> {
  for await (const record of records) return record;
  return undefined;
}

function endAt({ position, streamId }: AllStreamRecordedEvent): End {
  return { position: position.commit, stream: streamId };
}

function at(position: bigint): ReadPosition {
  return { commit: position, prepare: position };
}
