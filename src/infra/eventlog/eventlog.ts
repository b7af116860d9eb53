import type { DomainEvent, RecordedEvent } from '../../domain/event.js';

/** An event handed to a log, with the id it shall have. */
export interface NewEvent extends DomainEvent {
  /** UUID. */
  readonly id: string;
  /** The number of its type, where this build does not know the type: only a history from elsewhere has such events. */
  readonly etype?: number;
}

/** What a stream must look like for an append to be accepted: a revision (its last event's), or less than that. */
export type ExpectedRevision = bigint | 'no-stream' | 'any' | 'exists';

/** Events for a stream, and what it must look like. */
export interface Append {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly expected: ExpectedRevision;
}

/** Where an append ended. */
export interface AppendResult {
  /** Revision of the last event appended. */
  readonly revision: bigint;
  /** Position of the last event appended. */
  readonly position: bigint;
}

/** Which events to read. Given parts must all match; within a part, any. */
export interface EventFilter {
  readonly categories?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly streams?: readonly string[] | undefined;
}

/** Where an event is, and which it is: nothing else is ever there in one history of a log. */
export interface EventPlace {
  readonly position: bigint;
  readonly stream: string;
  readonly revision: bigint;
  readonly id: string;
}

/** A piece of a log, in order. */
export interface EventBatch {
  /** The events that match, possibly none. */
  readonly events: readonly RecordedEvent[];
  /** Everything up to here has been delivered or does not match: the place to resume after. */
  readonly through: bigint;
  /** The last event up to there, whether it matches or not, where the adapter comes to know it. */
  readonly last?: EventPlace | undefined;
  /** Whether `through` was the end of the log when this was read. */
  readonly live: boolean;
}

/**
 * The log: streams of events in one total order. Every adapter passes the contract suite in `test/contract/eventlog`.
 * Failures are LogErrors.
 */
export interface EventLog {
  /** Names this log: 6 characters. Positions of one log mean nothing in another. */
  readonly logId: string;

  /**
   * Appends 1–500 events, together at most 16 MiB, to a stream, all or none; when it answers they are durable. The same
   * ids at the same pinned revision answer with what is stored.
   * @throws LogError WRONG_EXPECTED_REVISION, STREAM_TOMBSTONED, EVENT_INVALID, LOG_FULL, LOG_READONLY, LOG_BUSY,
   * LOG_OVERLOADED, LOG_CORRUPT, LOG_CLOSED
   */
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult>;

  /**
   * Appends to any streams, one after the other in the order given: what there is of a history elsewhere. When it answers
   * all are durable; when it fails, with the error of the first that failed, any of them may be. Of two calls at once the
   * appends may be mixed. The embedded log stores events of types and categories that this build does not know as they
   * are; a log on a server refuses them, for it does not keep the numbers of types.
   * @param appends together at most MAX_APPEND_BYTES
   * @throws LogError as `append` does
   */
  appendAll(appends: readonly Append[]): Promise<void>;

  /** The events of a stream from a revision on (inclusive; by default from the start, or the end when backward). */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>;

  /** The events after a position (exclusive) up to the end of the log as it is found. */
  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent>;

  /**
   * Follows the log from a position on: what is there, then what comes, with no gap and no duplicate. It is pulled, so a
   * slow reader slows only itself, and ends by its signal alone, or with an error.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<EventBatch>;

  /** Forgets the data of a stream's events below a revision; the last event always stays. */
  truncate(stream: string, before: bigint): Promise<void>;

  /** Ends a stream for good: it reads as empty and takes no more events. */
  tombstone(stream: string): Promise<void>;

  /** Whether an event is where it was once, as far as that can still be told: it may have been emptied since. */
  has(place: EventPlace): Promise<boolean>;

  /** The position of the last event; 0 for an empty log. */
  head(): Promise<bigint>;

  /** Ends subscriptions, finishes appends under way and closes. */
  close(): Promise<void>;
}

export interface ReadStreamOptions {
  readonly from?: bigint;
  readonly direction?: 'forward' | 'backward';
  readonly limit?: number;
}

export interface ReadAllOptions {
  readonly after?: bigint;
  readonly filter?: EventFilter;
  readonly limit?: number;
}

export interface SubscribeOptions {
  readonly after: bigint;
  readonly signal: AbortSignal;
  readonly filter?: EventFilter;
  /** The most events in a batch; 1,000 unless told. */
  readonly batchSize?: number;
}

/** The most events of one append. */
export const MAX_APPEND_EVENTS = 500;
/** The largest append, in bytes of its events. */
export const MAX_APPEND_BYTES = 16 * 1024 * 1024;
/** The largest event, in bytes of data and metadata as stored. */
export const MAX_EVENT_BYTES = 1024 * 1024;
/** The longest name of a stream, in characters. */
export const MAX_STREAM_LENGTH = 256;

/** The revision of a stream's last event; −1 when it has none. @throws LogError as `readStream` does */
export async function lastRevision(log: Pick<EventLog, 'readStream'>, stream: string): Promise<bigint> {
  for await (const { revision } of log.readStream(stream, { direction: 'backward', limit: 1 })) return revision;
  return -1n;
}
