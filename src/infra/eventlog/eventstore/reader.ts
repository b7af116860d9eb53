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
import { ANSWER_MS, Tries, type ReconnectingClient } from './reconnecting-client.js';

/** Records read at first to find the last one of ours: it is mostly among them. */
const FIRST_RECORDS = 16;
const ALL = Number.MAX_SAFE_INTEGER;

/** The last record of ours, or the end of a log that has none. */
export interface End {
  readonly position: bigint;
  /** The stream it is in, as the server knows it. */
  readonly stream: string | undefined;
}

const NOTHING: End = { position: 0n, stream: undefined };

/** How something is read, record after record. */
interface Reading<From, R> {
  readonly from: From;
  readonly limit: number;
  readonly open: (client: EventStoreDBClient, from: From, limit: number) => StreamingRead<Resolved<R>>;
  /** Where to go on after a record; nothing when it was the last there can be. */
  readonly after: (record: R) => From | undefined;
}

interface Resolved<R> {
  readonly event?: R;
}

/** Reads from the server: on from where it was when a connection is torn. */
export class Reader {
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  /** The last record of ours when this was the last record of all. */
  #known: { readonly end: End; readonly last: string | undefined } = { end: NOTHING, last: undefined };
  #start = 0n;
  #reading: Promise<End> | undefined;
  #next: Promise<End> | undefined;

  constructor(connection: ReconnectingClient, codec: EventCodec) {
    this.#connection = connection;
    this.#codec = codec;
  }

  /** Nothing of ours lies before this position. */
  get start(): bigint {
    return this.#start;
  }

  startAt(position: bigint): void {
    this.#start = position;
  }

  /** The records of a stream, in the server's words; none when it is not there, or no more. @throws LogError */
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

  /** The position of the last record that is ours, as of now; 0 when there is none. @throws LogError */
  async head(): Promise<bigint> {
    return (await this.end()).position;
  }

  /**
   * The last record that is ours, as of now. What the server and others write comes after it, so it is looked for
   * backwards, as far as it was not looked for before. @throws LogError
   */
  end(): Promise<End> {
    if (this.#reading === undefined) {
      const reading = this.#findEnd().finally(() => {
        this.#reading = undefined;
      });
      this.#reading = reading;
      return reading;
    }
    // Those who ask while it is read might miss what was recorded meanwhile: they share the next reading.
    this.#next ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.end();
      });
    return this.#next;
  }

  /**
   * The position of the last record at or before a place where none may be; 0 when there is none. It is looked for from
   * the end of the log that is nearer.
   * @param head a position there is, after it
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

  /** Records of every stream; forwards, some come twice when a connection is torn. */
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
      this.#connection.assertOpen();
      const { client } = this.#connection;
      try {
        for await (const record of this.#once(client, open(client, from, left))) {
          tries.succeeded();
          left -= 1;
          yield record;
          const next = after(record);
          if (next === undefined) return;
          from = next;
        }
        this.#connection.succeeded();
        return;
      } catch (error) {
        if (error instanceof StreamNotFoundError || error instanceof StreamDeletedError) return;
        await this.#connection.retry(client, error, tries);
      }
    }
  }

  async *#once<R>(client: EventStoreDBClient, read: StreamingRead<Resolved<R>>): AsyncIterable<R> {
    const items = readableChunks<Resolved<R>>(read, {
      signal: this.#connection.closing,
      answerMs: ANSWER_MS,
      isPatient: () => false,
      cancel: () => read.cancel(),
    });
    for await (const some of items) for (const { event } of some) if (event !== undefined) yield event;
    this.#connection.assertOpen();
    // A client that is let go of ends its reads as if there were no more.
    if (client !== this.#connection.client) throw new Ended();
  }
}
