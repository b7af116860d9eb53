import pLimit from 'p-limit';
import type { RecordedEvent } from '../../../domain/event.js';
import { LinkedSignal } from '../../platform/linked-signal.js';
import type { Logger } from '../../platform/logger.js';
import { LogError } from '../errors.js';
import type {
  Append,
  AppendResult,
  EventBatch,
  EventPlace,
  EventLog,
  ExpectedRevision,
  NewEvent,
  ReadAllOptions,
  ReadStreamOptions,
  SubscribeOptions,
} from '../eventlog.js';
import { matches } from '../filter.js';
import type { Lease } from '../lease.js';
import { prepareAppend } from '../prepare-append.js';
import { abortable } from './abortable.js';
import type { ServerAddress } from './address.js';
import { Appender, type Lookup } from './appender.js';
import { CatchUpReader } from './catch-up-reader.js';
import { EventCodec } from './event-codec.js';
import { nameLog, nameOfLog, startOfLog } from './identity.js';
import { versionOf } from './connection.js';
import { EventStoreLease } from './lease.js';
import { LiveSubscription } from './live-subscription.js';
import { first, Reader } from './reader.js';
import { ReconnectingClient } from './reconnecting-client.js';

/** The most events in a batch by default. */
const DEFAULT_BATCH = 1_000;
/** The most pending appends of one `appendAll`. */
const MAX_APPENDS_UNDER_WAY = 200;

/**
 * The log on an EventStoreDB or KurrentDB server or cluster. An append that has resolved is as durable as the server makes
 * it: in a cluster, on the disks of a quorum of nodes. All calls go to the leader, so that a core reads its own writes.
 * Readers of all streams still get the events of streams that an operator truncates or deletes, until a scavenge.
 */
export class EventStoreLog implements EventLog {
  readonly logId: string;
  readonly #connection: ReconnectingClient;
  readonly #codec: EventCodec;
  readonly #reader: Reader;
  readonly #appender: Appender;
  readonly #subscription: LiveSubscription;
  readonly #catchUp: CatchUpReader;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  private constructor(logId: string, { connection, codec, reader, appender }: LogDependencies, logger: Logger) {
    this.logId = logId;
    this.#logger = logger;
    this.#connection = connection;
    this.#codec = codec;
    this.#reader = reader;
    this.#appender = appender;
    this.#subscription = new LiveSubscription(connection, codec, reader);
    this.#catchUp = new CatchUpReader(connection, codec, reader);
  }

  /**
   * Connects, and gives the log an id if it has none.
   * @param signal ends the attempt
   * @throws LogError LOG_UNAVAILABLE when the server does not answer for about 10 s; LOG_DENIED when it refuses the login
   */
  static open(address: ServerAddress, logger: Logger, signal?: AbortSignal): Promise<EventStoreLog> {
    return connected(address, logger, signal, async (parts) => {
      const { codec, reader, appender } = parts;
      const logId = await nameOfLog(codec, reader, appender);
      reader.startAt(await startOfLog(codec, reader));
      // A user may have the right to read streams but not $all: fail now rather than later.
      await reader.head();
      return new EventStoreLog(logId, parts, logger);
    });
  }

  /** Gives the log a new id, and keeps its events: positions handed out before are refused from then on. @throws LogError */
  static async rename(address: ServerAddress, logger: Logger): Promise<string> {
    return connected(address, logger, undefined, async ({ connection, codec, reader, appender }) => {
      const logId = await nameLog(codec, reader, appender);
      connection.close();
      return logId;
    });
  }

  /** Starts to try to take a lease of this log, and keeps it until it is stopped. */
  lease(name: string): Lease {
    const [codec, reader, appender, logger] = [this.#codec, this.#reader, this.#appender, this.#logger];
    return new EventStoreLease(name, { codec, reader, appender, logger });
  }

  async append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult> {
    this.#assertOpen();
    const prepared = prepareAppend(stream, events);
    const bytes = prepared.reduce((sum, event) => sum + event.bytes, 0);
    const records = prepared.map((event) => this.#codec.toServer(event));
    const name = this.#codec.streamName(stream);
    const result = await this.#appender.append({ stream, name, events: records, expected, bytes });
    this.#subscription.tail.expect(result.position);
    this.#reader.wrote(result.position);
    return result;
  }

  async appendAll(appends: readonly Append[]): Promise<void> {
    const limit = pLimit(MAX_APPENDS_UNDER_WAY);
    const failures: unknown[] = [];
    const appendNext = async ({ stream, events, expected }: Append) => {
      // Start no append after a failure.
      if (failures.length > 0) return;
      await this.append(stream, events, expected).catch((error: unknown) => failures.push(error));
    };
    await Promise.all(appends.map((append) => limit(() => appendNext(append))));
    if (failures.length > 0) throw failures[0];
  }

  async *readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    this.#assertOpen();
    for await (const record of this.#reader.stream(this.#codec.streamName(stream), options)) {
      const event = this.#codec.toEvent(record);
      if (event !== undefined) yield event;
    }
  }

  async *readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    this.#assertOpen();
    const { from, after = from ?? 0n, filter, limit = Number.POSITIVE_INFINITY } = options;
    const end = await this.#reader.end();
    let left = limit;
    if (left <= 0) return;
    if (from !== undefined) {
      const event = await this.#eventAt(from);
      if (event !== undefined && matches(filter, event)) {
        yield event;
        left -= 1;
        if (left === 0) return;
      }
    }
    const { signal } = this.#closing;
    const batchSize = Math.min(DEFAULT_BATCH, limit);
    for await (const { events } of this.#catchUp.read({ after, filter, batchSize, signal, end, isPatient: false })) {
      for (const event of events) {
        if (event.position > end.position) return;
        yield event;
        left -= 1;
        if (left === 0) return;
      }
    }
    this.#assertOpen();
  }

  async hasPosition(position: bigint): Promise<boolean> {
    this.#assertOpen();
    return this.#reader.hasPosition(position);
  }

  async *subscribe(options: SubscribeOptions): AsyncIterable<EventBatch> {
    this.#assertOpen();
    if (options.signal.aborted) return;
    const ended = new LinkedSignal(options.signal, this.#closing.signal);
    const { signal } = ended;
    try {
      yield* abortable(signal, this.#follow({ ...options, signal }));
    } finally {
      ended.end();
    }
    if (!options.signal.aborted) this.#assertOpen();
  }

  async *#follow({ after, filter, batchSize = DEFAULT_BATCH, signal }: SubscribeOptions): AsyncIterable<EventBatch> {
    const { tail } = this.#subscription;
    await this.#subscription.join();
    try {
      if (after > tail.to) await this.#subscription.checkEnd(after);
      let cursor = after;
      let announced = false;
      while (!signal.aborted) {
        if (!tail.covers(cursor)) {
          const past = this.#catchUp.read({ after: cursor, filter, batchSize, signal, isPatient: true });
          for await (const batch of past) {
            cursor = batch.through;
            announced = false;
            yield batch;
            if (signal.aborted || tail.covers(cursor)) break;
          }
          continue;
        }
        const batch = tail.batch(cursor, filter, batchSize);
        if (batch.through > cursor || (batch.live && !announced)) {
          cursor = batch.through;
          announced = batch.live;
          yield batch;
          continue;
        }
        this.#subscription.assertWell();
        await tail.changed(cursor, signal);
      }
    } finally {
      this.#subscription.leave();
    }
  }

  async #eventAt(position: bigint): Promise<RecordedEvent | undefined> {
    const record = await this.#reader.recordFrom(position);
    return record?.position.commit === position ? this.#codec.toEvent(record) : undefined;
  }

  async has({ stream, revision, id }: EventPlace): Promise<boolean> {
    // Revisions below the first that the stream still has were truncated.
    for await (const event of this.readStream(stream, { from: revision, limit: 1 }))
      return event.revision > revision || event.id === id;
    return false;
  }

  async head(): Promise<bigint> {
    this.#assertOpen();
    return this.#reader.head();
  }

  serverVersion(): Promise<string | undefined> {
    this.#assertOpen();
    return this.#connection.call(versionOf);
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown();
    return this.#closed;
  }

  async #shutDown(): Promise<void> {
    this.#closing.abort();
    await this.#appender.close();
    this.#connection.close();
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new LogError('LOG_CLOSED', 'The log is closed.');
    this.#subscription.assertWhole();
  }
}

interface LogDependencies {
  readonly connection: ReconnectingClient;
  readonly codec: EventCodec;
  readonly reader: Reader;
  readonly appender: Appender;
}

/** Connects and passes the parts of a log to `use`; closes the connection if that fails. */
async function connected<R>(
  address: ServerAddress,
  logger: Logger,
  signal: AbortSignal | undefined,
  use: (parts: LogDependencies) => Promise<R>,
): Promise<R> {
  const connection = new ReconnectingClient(address, logger);
  const codec = new EventCodec(address.streamPrefix);
  const reader = new Reader(connection, codec);
  const appender = new Appender(connection, lookup(reader));
  const giveUp = () => connection.close();
  signal?.addEventListener('abort', giveUp);
  try {
    return await use({ connection, codec, reader, appender });
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

function lookup(reader: Reader): Lookup {
  return {
    async find(name, events) {
      const ids = new Set(events.map(({ id }) => id));
      let revision = -1n;
      let last: AppendResult | undefined;
      let found = 0;
      // Other cores may have appended since, but hardly more than 1,000 events.
      for await (const record of reader.stream(name, { direction: 'backward', limit: events.length + 1_000 })) {
        if (record.revision > revision) revision = record.revision;
        if (!ids.has(record.id)) continue;
        found += 1;
        last ??= { revision: record.revision, position: record.position?.commit ?? 0n };
        if (found === ids.size) return { found: last, revision };
      }
      return { revision };
    },
    async position(name, revision) {
      const record = await first(reader.stream(name, { from: revision, limit: 1 }));
      if (record?.position === undefined)
        throw new LogError(
          'LOG_FAILED',
          `The server reports no position for revision ${revision} of stream '${name}'.`,
        );
      return record.position.commit;
    },
  };
}
