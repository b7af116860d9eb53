import {
  ANY,
  NO_STREAM,
  STREAM_EXISTS,
  StreamDeletedError,
  WrongExpectedVersionError,
  type AppendExpectedRevision,
  type AppendResult as ServerResult,
  type EventStoreDBClient,
  type JSONEventData,
} from '@eventstore/db-client';
import { LogError, WrongExpectedRevision } from '../errors.js';
import { MAX_EVENT_BYTES, type AppendResult, type ExpectedRevision } from '../eventlog.js';
import { isAnswer, remedyFor, toLogError } from './failures.js';
import { answered, Tries, type ReconnectingClient } from './reconnecting-client.js';
import { MAX_HELD_MESSAGES, type SendBuffer } from './send-buffer.js';

/** The most bytes of unanswered appends, unless a single one has more: few enough to send again. */
const MAX_SENT_BYTES = 8 * 1024 * 1024;
/** The most unanswered messages: each may have to be looked up before it is sent again. */
const MAX_SENT_MESSAGES = 1_024;
/** The most bytes of an append in one message; the client puts an event that does not fit into another message. */
const MESSAGE_BYTES = 3 * 1024 * 1024;
/** The most appends that may wait. */
const MAX_WAITING = 10_000;
/** The most bytes of waiting and unanswered appends. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** An append that has been validated as far as possible without the server. */
export interface Append {
  readonly stream: string;
  /** The stream as the server knows it. */
  readonly name: string;
  readonly events: readonly JSONEventData[];
  readonly expected: ExpectedRevision;
  readonly bytes: number;
}

/** Finds events on the server. */
export interface Lookup {
  /**
   * The place of the last of the given events, if the stream has all of them near its end, and the stream's revision, −1
   * if it has no events.
   */
  find(name: string, events: readonly JSONEventData[]): Promise<{ found?: AppendResult; revision: bigint }>;
  /** The position of an event of a stream. */
  position(name: string, revision: bigint): Promise<bigint>;
}

interface Entry extends Append {
  /** The expected revision that is sent: a fixed one once it is unknown whether the server already has the events. */
  pinned: ExpectedRevision;
  /** The most messages that the client splits it into. */
  readonly messages: number;
  attempts: number;
  isDone: boolean;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Sends appends in the order of arrival, several at a time, but only one per stream. If the outcome of one is unknown
 * (the connection broke, or no answer arrived), it and all later ones are sent again in the same order, with the same ids:
 * the server answers for the events that it already has. So no append is stored twice, and none before an earlier one of
 * its stream; nor before an earlier one of another stream, unless the server accepts it while it reports that it cannot
 * accept the other one now.
 */
export class Appender {
  readonly #connection: ReconnectingClient;
  readonly #lookup: Lookup;
  #waiting: Entry[] = [];
  readonly #sent = new Map<string, Entry>();
  #messages = 0;
  #sentBytes = 0;
  #bytes = 0;
  /** The `way` of the last answer. On another way appends are sent one at a time, because its start may reorder them. */
  #way: number | undefined;
  readonly #tries = new Tries();
  #recovering = false;
  /** Counts recoveries: an append that fails from before the last recovery has already been put back. */
  #time = 0;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(connection: ReconnectingClient, lookup: Lookup) {
    this.#connection = connection;
    this.#lookup = lookup;
  }

  /**
   * Queues an append and resolves with the place of its last event.
   * @throws LogError LOG_CLOSED, LOG_OVERLOADED, LOG_UNAVAILABLE (it may have been recorded), LOG_DENIED, …
   */
  append(append: Append): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw new LogError('LOG_CLOSED', 'The log is closed.');
      this.#connection.assertReady();
      if (this.#waiting.length >= MAX_WAITING || this.#bytes + append.bytes > MAX_WAITING_BYTES) {
        throw new LogError('LOG_OVERLOADED', 'Too many appends wait for the server; try again in a moment.');
      }
      const { stream, name, events, expected, bytes } = append;
      const messages = 1 + Math.floor(bytes / (MESSAGE_BYTES - MAX_EVENT_BYTES));
      this.#bytes += bytes;
      // Member by member: spreading the object would double the time of this function.
      this.#waiting.push({
        stream,
        name,
        events,
        expected,
        bytes,
        pinned: expected,
        messages,
        attempts: 0,
        isDone: false,
        resolve,
        reject,
      });
      this.#pump();
    });
  }

  /** Refuses new appends, and resolves when all earlier ones have been answered. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#drained = resolve;
      this.#drain();
    });
    return this.#closed;
  }

  #pump(): void {
    const { client, buffer } = this.#connection;
    while (!this.#recovering) {
      const next = this.#waiting[0];
      if (next === undefined || !this.#isRoomFor(next, buffer)) return;
      if (this.#sent.has(next.name)) return;
      this.#waiting.shift();
      this.#sent.set(next.name, next);
      this.#messages += next.messages;
      this.#sentBytes += next.bytes;
      next.attempts += 1;
      buffer.give(next.messages, () => this.#pump());
      void this.#send(next, client);
    }
  }

  #isRoomFor({ messages, bytes }: Entry, buffer: SendBuffer): boolean {
    if (this.#messages === 0) return true;
    const onTheirWay = this.#messages + messages;
    if (this.#way !== this.#connection.way || onTheirWay > MAX_SENT_MESSAGES) return false;
    if (this.#sentBytes + bytes > MAX_SENT_BYTES) return false;
    // The client cannot hold more messages than are unanswered.
    return onTheirWay <= MAX_HELD_MESSAGES || messages <= buffer.room;
  }

  async #send(entry: Entry, client: EventStoreDBClient): Promise<void> {
    const { name, events, pinned } = entry;
    const time = this.#time;
    const { way } = this.#connection;
    try {
      const answerMs = this.#connection.start(this.#tries);
      const options = { expectedRevision: toServer(pinned), requiresLeader: true, batchAppendSize: MESSAGE_BYTES };
      const result = await answered(client.appendToStream(name, events as JSONEventData[], options), answerMs);
      const place = await this.#placeOf(name, result);
      this.#connection.succeeded();
      this.#tries.succeeded();
      if (time === this.#time) this.#way = way;
      this.#settle(entry, () => entry.resolve(place));
    } catch (error) {
      if (time !== this.#time) return;
      if (isAnswer(error)) {
        this.#connection.heard(error);
        this.#tries.succeeded();
      }
      const verdict = this.#verdictOf(error, entry);
      if (verdict === undefined) this.#recover(client, error);
      else this.#settle(entry, () => entry.reject(verdict));
    }
  }

  /** Some servers do not report the position of events that they already had. */
  async #placeOf(name: string, { nextExpectedRevision: revision, position }: ServerResult): Promise<AppendResult> {
    const isKnown = position !== undefined && position.commit < 2n ** 63n;
    return { revision, position: isKnown ? position.commit : await this.#lookup.position(name, revision) };
  }

  /** The server's decision; undefined if it is unknown whether the server made one. */
  #verdictOf(error: unknown, { expected, pinned, stream }: Entry): LogError | undefined {
    if (error instanceof WrongExpectedVersionError) {
      const actual = typeof error.actualVersion === 'bigint' ? error.actualVersion : -1n;
      if (expected !== 'any' && expected === pinned) return new WrongExpectedRevision(stream, expected, actual);
      // The stream has grown since the lookup: look again.
      return undefined;
    }
    if (error instanceof StreamDeletedError) {
      return new LogError('STREAM_TOMBSTONED', `Stream '${stream}' was tombstoned; it accepts no more events.`, error);
    }
    return remedyFor(error) === 'none' ? toLogError(error, this.#connection.address) : undefined;
  }

  #settle(entry: Entry, tell: () => void): void {
    if (entry.isDone) return;
    entry.isDone = true;
    this.#bytes -= entry.bytes;
    if (this.#sent.get(entry.name) === entry) {
      this.#sent.delete(entry.name);
      this.#messages -= entry.messages;
      this.#sentBytes -= entry.bytes;
    } else this.#waiting = this.#waiting.filter((waiting) => waiting !== entry);
    tell();
    this.#pump();
    this.#drain();
  }

  #drain(): void {
    if (this.#sent.size + this.#waiting.length === 0) this.#drained?.();
  }

  /** The outcome of the sent appends is unknown: puts them back in front of the queue, and sends them again after a wait. */
  #recover(client: EventStoreDBClient, error: unknown): void {
    this.#recovering = true;
    this.#time += 1;
    this.#way = undefined;
    this.#messages = 0;
    this.#sentBytes = 0;
    this.#waiting = [...this.#sent.values(), ...this.#waiting];
    this.#sent.clear();
    void this.#resume(client, error).then(() => {
      this.#recovering = false;
      this.#pump();
    });
  }

  async #resume(client: EventStoreDBClient, error: unknown): Promise<void> {
    this.#connection.failed(client, error);
    const failures = this.#tries.failed(error);
    if (this.#tries.isOver || this.#connection.isLost) {
      this.#giveUp(toLogError(this.#tries.cause, this.#connection.address));
    }
    await this.#connection.rest(failures);
    for (const entry of this.#waiting.filter(({ attempts, expected }) => attempts > 0 && isLoose(expected))) {
      await this.#pin(entry);
    }
  }

  #giveUp(error: LogError): void {
    this.#tries.succeeded();
    for (const entry of [...this.#waiting]) {
      this.#settle(entry, () => entry.reject(entry.attempts === 0 ? error : undecided(error)));
    }
  }

  /**
   * Repeating an append without a fixed revision may store it twice, because the server does not remember ids forever. So
   * this looks for its events; if the stream does not have them, it fixes the append at the stream's current revision.
   */
  async #pin(entry: Entry): Promise<void> {
    try {
      const { found, revision } = await this.#lookup.find(entry.name, entry.events);
      if (found !== undefined) this.#settle(entry, () => entry.resolve(found));
      else if (revision >= 0n) entry.pinned = revision;
      else entry.pinned = entry.expected === 'any' ? 'no-stream' : 'exists';
    } catch (error) {
      this.#settle(entry, () => entry.reject(undecided(toLogError(error, this.#connection.address))));
    }
  }
}

function isLoose(expected: ExpectedRevision): boolean {
  return expected === 'any' || expected === 'exists';
}

function toServer(expected: ExpectedRevision): AppendExpectedRevision {
  if (expected === 'any') return ANY;
  if (expected === 'no-stream') return NO_STREAM;
  return expected === 'exists' ? STREAM_EXISTS : expected;
}

/** The same error for an append that was sent, whose outcome is unknown. */
function undecided(error: LogError): LogError {
  if (error.code !== 'LOG_UNAVAILABLE') return error;
  const advice = 'The change may or may not have been recorded: repeat it with the same idempotency key.';
  return new LogError(error.code, `${error.message} ${advice}`, error.cause);
}
