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
import { remedyFor, toLogError } from './failures.js';
import { answered, Tries, type ReconnectingClient } from './reconnecting-client.js';
import { MAX_HELD_MESSAGES, type SendBuffer } from './send-buffer.js';

/** The most messages on their way: more than a server works on at a time, and few enough to be sent again. */
const MAX_MESSAGES = 64;
/** How much of an append the client puts into one message, in bytes, if another event does not fit in. */
const MESSAGE_BYTES = 3 * 1024 * 1024;
/** The most appends, and bytes of them, that wait. */
const MAX_WAITING = 10_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** An append that has been judged as far as that goes without the server. */
export interface Append {
  readonly stream: string;
  /** The stream as the server knows it. */
  readonly name: string;
  readonly events: readonly JSONEventData[];
  readonly expected: ExpectedRevision;
  readonly bytes: number;
}

/** Where the events of an append are, if they are there. */
export interface Lookup {
  /** The place of the last of some events, if a stream has them near its end; and the stream's revision, −1 without events. */
  find(name: string, events: readonly JSONEventData[]): Promise<{ found?: AppendResult; revision: bigint }>;
  /** The position of an event of a stream. */
  position(name: string, revision: bigint): Promise<bigint>;
}

interface Entry extends Append {
  /** What the server is told to expect: pinned once it is not known whether the server has it already. */
  pinned: ExpectedRevision;
  /** The most messages that the client makes of it. */
  readonly messages: number;
  attempts: number;
  isDone: boolean;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Sends appends in the order they came, several at a time, but only one of a stream. When it is not known what became of
 * one, the connection was torn or nothing was answered, it and all behind it are sent again in that order, with the same
 * ids: the server answers for what it has. So none lands twice, and none before one of its stream that came earlier; nor
 * before one of another stream, unless the server takes it while it says of that other that it cannot take it now.
 */
export class Appender {
  readonly #connection: ReconnectingClient;
  readonly #lookup: Lookup;
  #waiting: Entry[] = [];
  #sent: Entry[] = [];
  #messages = 0;
  #bytes = 0;
  /** The way on which an append was answered last: on another, one at a time, for its start may reorder them. */
  #way: number | undefined;
  readonly #tries = new Tries();
  #recovering = false;
  /** Counts recoveries: what fails of an earlier time has been put back already. */
  #time = 0;
  #closed: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(connection: ReconnectingClient, lookup: Lookup) {
    this.#connection = connection;
    this.#lookup = lookup;
  }

  /** @throws LogError LOG_CLOSED, LOG_OVERLOADED, LOG_UNAVAILABLE (it may have been recorded), LOG_DENIED, … */
  append(append: Append): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw new LogError('LOG_CLOSED', 'The log is closed.');
      if (this.#waiting.length >= MAX_WAITING || this.#bytes + append.bytes > MAX_WAITING_BYTES) {
        throw new LogError('LOG_OVERLOADED', 'Too many appends wait for the server; try again in a moment.');
      }
      const { stream, name, events, expected, bytes } = append;
      const messages = 1 + Math.floor(bytes / (MESSAGE_BYTES - MAX_EVENT_BYTES));
      this.#bytes += bytes;
      // Member by member: to spread one object into another takes as long as all of the rest of this.
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

  /** Refuses what comes, and resolves when what was taken before has been answered. */
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
      if (this.#sent.some(({ name }) => name === next.name)) return;
      this.#waiting.shift();
      this.#sent.push(next);
      this.#messages += next.messages;
      next.attempts += 1;
      buffer.give(next.messages, () => this.#pump());
      void this.#send(next, client);
    }
  }

  #isRoomFor({ messages }: Entry, buffer: SendBuffer): boolean {
    if (this.#messages === 0) return true;
    const onTheirWay = this.#messages + messages;
    if (this.#way !== this.#connection.way || onTheirWay > MAX_MESSAGES) return false;
    // As long as no more than those are unanswered, no more can be held.
    return onTheirWay <= MAX_HELD_MESSAGES || messages <= buffer.room;
  }

  async #send(entry: Entry, client: EventStoreDBClient): Promise<void> {
    const { name, events, pinned } = entry;
    const time = this.#time;
    const { way } = this.#connection;
    try {
      const options = { expectedRevision: toServer(pinned), requiresLeader: true, batchAppendSize: MESSAGE_BYTES };
      const result = await answered(client.appendToStream(name, events as JSONEventData[], options));
      const place = await this.#placeOf(name, result);
      this.#connection.succeeded();
      this.#tries.succeeded();
      if (time === this.#time) this.#way = way;
      this.#settle(entry, () => entry.resolve(place));
    } catch (error) {
      if (time !== this.#time) return;
      const verdict = this.#verdictOf(error, entry);
      if (verdict === undefined) this.#recover(client, error);
      else this.#settle(entry, () => entry.reject(verdict));
    }
  }

  /** Some servers do not say where events are that they had already. */
  async #placeOf(name: string, { nextExpectedRevision: revision, position }: ServerResult): Promise<AppendResult> {
    const isKnown = position !== undefined && position.commit < 2n ** 63n;
    return { revision, position: isKnown ? position.commit : await this.#lookup.position(name, revision) };
  }

  /** What the server decided; nothing when it is not known whether it did. */
  #verdictOf(error: unknown, { expected, pinned, stream }: Entry): LogError | undefined {
    if (error instanceof WrongExpectedVersionError) {
      const actual = typeof error.actualVersion === 'bigint' ? error.actualVersion : -1n;
      if (expected !== 'any' && expected === pinned) return new WrongExpectedRevision(stream, expected, actual);
      // The stream has grown since it was looked at: that is looked at again.
      return undefined;
    }
    if (error instanceof StreamDeletedError) {
      return new LogError('STREAM_TOMBSTONED', `Stream '${stream}' was tombstoned; it takes no more events.`, error);
    }
    return remedyFor(error) === 'none' ? toLogError(error, this.#connection.address.shown) : undefined;
  }

  #settle(entry: Entry, tell: () => void): void {
    if (entry.isDone) return;
    entry.isDone = true;
    this.#bytes -= entry.bytes;
    const index = this.#sent.indexOf(entry);
    if (index >= 0) {
      this.#sent.splice(index, 1);
      this.#messages -= entry.messages;
    } else this.#waiting = this.#waiting.filter((waiting) => waiting !== entry);
    tell();
    this.#pump();
    this.#drain();
  }

  #drain(): void {
    if (this.#sent.length + this.#waiting.length === 0) this.#drained?.();
  }

  /** It is not known what became of what was sent: puts it back in front, and sends it again after a rest. */
  #recover(client: EventStoreDBClient, error: unknown): void {
    this.#recovering = true;
    this.#time += 1;
    this.#way = undefined;
    this.#messages = 0;
    this.#waiting = [...this.#sent, ...this.#waiting];
    this.#sent = [];
    void this.#resume(client, error).then(() => {
      this.#recovering = false;
      this.#pump();
    });
  }

  async #resume(client: EventStoreDBClient, error: unknown): Promise<void> {
    this.#connection.failed(client, error);
    const failures = this.#tries.failed();
    if (this.#tries.isOver || this.#connection.isLost) this.#giveUp(toLogError(error, this.#connection.address.shown));
    await this.#connection.rest(failures);
    for (const entry of this.#waiting.filter(({ attempts, expected }) => attempts > 0 && isLoose(expected))) {
      await this.#pin(entry);
    }
  }

  #giveUp(error: LogError): void {
    for (const entry of [...this.#waiting]) {
      this.#settle(entry, () => entry.reject(entry.attempts === 0 ? error : undecided(error)));
    }
  }

  /**
   * An append at no revision may land twice when it is made again, for what the server remembers of ids is not for ever.
   * So it is looked for; if it is not there, it is made at the revision the stream has.
   */
  async #pin(entry: Entry): Promise<void> {
    try {
      const { found, revision } = await this.#lookup.find(entry.name, entry.events);
      if (found !== undefined) this.#settle(entry, () => entry.resolve(found));
      else if (revision >= 0n) entry.pinned = revision;
      else entry.pinned = entry.expected === 'any' ? 'no-stream' : 'exists';
    } catch (error) {
      this.#settle(entry, () => entry.reject(undecided(toLogError(error, this.#connection.address.shown))));
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

/** The same error for an append that was sent: nobody knows what became of it. */
function undecided(error: LogError): LogError {
  if (error.code !== 'LOG_UNAVAILABLE') return error;
  const advice = 'The change may have been recorded or not: ask again with the same idempotency key.';
  return new LogError(error.code, `${error.message} ${advice}`, error.cause);
}
