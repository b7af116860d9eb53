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
import { Ended } from './failures.js';
import { readableChunks } from './readable-chunks.js';
import { Tries, type ReconnectingClient } from './reconnecting-client.js';

/** Records in the first read for the last one of ours: it is usually among them. */
const FIRST_RECORDS = 16;
const ALL = Number.MAX_SAFE_INTEGER;

/** The place of the last record of ours, or of the end of an empty log. */
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
  /** Where to resume after a record; undefined if no record can follow. */
  readonly after: (record: R) => From | undefined;
}

interface Resolved<R> {
  readonly event?: R;
}

/** Reads from the server; resumes when a connection breaks. */
export class Reader {
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  /** The last record of ours, and the id of the last record of all when it was found. */
  #known: { readonly end: End; readonly last: string | undefined } = { end: NOTHING, last: undefined };
  #start = 0n;
  #reading: Promise<End> | undefined;
  #next: Promise<End> | undefined;

  constructor(connection: ReconnectingClient, codec: EventCodec) {
    this.#connection = connection;
    this.#codec = codec;
  }

  /** No record of ours lies before this position. */
  get start(): bigint {
    return this.#start;
  }

  /** Sets the position before which no record of ours lies. */
  startAt(position: bigint): void {
    this.#start = position;
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
   * The last record of ours, as of now. The server and other applications may write after it, so this searches backwards,
   * down to the records that were searched before. @throws LogError
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
   * The position of the last record at or before a place that may have none; 0 if there is none. The search starts at the
   * nearer end of the log.
   * @param head an existing position after the place
   * @throws LogError
   */
  async recordBefore(place: bigint, head: bigint): Promise<bigint> {
    let before = 0n;
    if (place < head / 2n) {
      for await (const { position } of this.#all(FORWARDS, START, ALL)) {
        if (position.commit > place) break;
        before = position.commit;
      }
      return before;
    }
    for await (const { position } of this.#all(BACKWARDS, END, ALL)) {
      if (position.commit <= place) return position.commit;
    }
    return before;
  }

  async #findEnd(): Promise<End> {
    const known = this.#known;
    let last: string | undefined;
    let end = NOTHING;
    for await (const record of this.#backwards()) {
      last ??= record.id;
      const position = record.position.commit;
      const isOurs = this.#codec.isOurs(record);
      if (isOurs) end = { position, stream: record.streamId };
      else if (record.id === known.last) end = known.end;
      if (isOurs || record.id === known.last || position <= this.#start) break;
    }
    this.#known = { end, last };
    return end;
  }

  async *#backwards(): AsyncIterable<AllStreamRecordedEvent> {
    let from: ReadPosition = END;
    for (const limit of [FIRST_RECORDS, ALL]) {
      for await (const record of this.#all(BACKWARDS, from, limit)) {
        from = record.position;
        yield record;
      }
    }
  }

  /** The records of all streams. Reading forwards repeats a record when a connection breaks. */
  #all(direction: Direction, from: ReadPosition, limit: number): AsyncIterable<AllStreamRecordedEvent> {
    return this.#read<ReadPosition, AllStreamRecordedEvent>({
      from,
      limit,
      open: (client, fromPosition, maxCount) =>
        client.readAll({ direction, fromPosition, maxCount, requiresLeader: true }),
      after: ({ position }) => position,
    });
  }

  async *#read<From, R>({ from: start, limit, open, after }: Reading<From, R>): AsyncIterable<R> {
    const tries = new Tries();
    let from = start;
    for (let left = limit; left > 0;) {
      const answerMs = this.#connection.start(tries);
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
        if (error instanceof StreamNotFoundError || error instanceof StreamDeletedError) {
          this.#connection.succeeded();
          return;
        }
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
