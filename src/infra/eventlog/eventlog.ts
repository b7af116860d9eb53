import type { DomainEvent, RecordedEvent } from '../../domain/event.js';

/** An event to append to a log, with its id. */
export interface NewEvent extends DomainEvent {
  /** UUID. */
  readonly id: string;
  /** The number of its type if this build does not know the type: only a history from elsewhere has such events. */
  readonly etype?: number;
}

/** The state a stream must have for an append to be accepted: the revision of its last event, or a looser condition. */
export type ExpectedRevision = bigint | 'no-stream' | 'any' | 'exists';

/** Events for a stream, and the state that the stream must have. */
export interface Append {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly expected: ExpectedRevision;
}

/** The place of the last event of an append. */
export interface AppendResult {
  /** Revision of the last event appended. */
  readonly revision: bigint;
  /** Position of the last event appended. */
  readonly position: bigint;
}

/** Which events to read. Every part that is given must match; a part matches if any of its values does. */
export interface EventFilter {
  readonly categories?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly streams?: readonly string[] | undefined;
}

/** The place and id of an event: in one history of a log, no other event ever has this place. */
export interface EventPlace {
  readonly position: bigint;
  readonly stream: string;
  readonly revision: bigint;
  readonly id: string;
}

/** Consecutive events of a log, in order. */
export interface EventBatch {
  /** The events that match; may be empty. */
  readonly events: readonly RecordedEvent[];
  /** Every event up to this position has been delivered or does not match: the position to resume after. */
  readonly through: bigint;
  /** The last event up to `through`, whether it matches or not; undefined if the adapter does not know it. */
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
   * Appends 1–500 events, together at most 16 MiB, to a stream, all or none. When it resolves they are durable. Repeating
   * an append with the same ids at the same expected revision (a number or 'no-stream') returns the stored result.
   * @throws LogError WRONG_EXPECTED_REVISION, STREAM_TOMBSTONED, EVENT_INVALID, LOG_FULL, LOG_READONLY, LOG_BUSY,
   * LOG_OVERLOADED, LOG_CORRUPT, LOG_CLOSED
   */
  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<AppendResult>;

  /**
   * Appends a history from elsewhere to any streams, in the given order. When it resolves all appends are durable. When it
   * fails, with the error of the first append that failed, any of them may be durable. The appends of two concurrent calls
   * may be interleaved. The embedded log stores events of types and categories that this build does not know unchanged;
   * a log on a server refuses them, because it does not store the numbers of types.
   * @param appends together at most MAX_APPEND_BYTES
   * @throws LogError as `append` does
   */
  appendAll(appends: readonly Append[]): Promise<void>;

  /** Reads a stream from a revision on (inclusive; by default from the start, or from the end when backward). */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>;

  /** Reads the events from or after a position up to the end that the log has when the read starts. */
  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent>;

  /** Whether the log can be read after a position: at least after that of any event, of any batch, and 0. @throws LogError */
  hasPosition(position: bigint): Promise<boolean>;

  /**
   * Follows the log after a position: first the existing events, then new ones, with no gap and no duplicate. The reader
   * pulls, so a slow reader delays only itself. It ends only when its signal aborts, or with an error.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<EventBatch>;

  /** Whether the log still has this event at its place, as far as this can be known: a removed event counts as present. */
  has(place: EventPlace): Promise<boolean>;

  /** The position of the last event; 0 for an empty log. */
  head(): Promise<bigint>;

  /** The version of the server that has the log; undefined for a log in a file, and when the server does not say it. */
  serverVersion(): Promise<string | undefined>;

  /** Ends subscriptions, finishes pending appends and closes the log. */
  close(): Promise<void>;
}

/** Which events of a stream to read. */
export interface ReadStreamOptions {
  /** The first revision to read; by default the first of the stream, or the last when backward. */
  readonly from?: bigint;
  /** By default `forward`. */
  readonly direction?: 'forward' | 'backward';
  /** The most events to read; unlimited by default. */
  readonly limit?: number;
}

/** Which events of all streams to read. */
export interface ReadAllOptions {
  /** The position to read after: that of an event or of a batch, or 0, the default. */
  readonly after?: bigint;
  /** The position of the first event to read, instead of `after`. */
  readonly from?: bigint;
  readonly filter?: EventFilter;
  /** The most events to read; unlimited by default. */
  readonly limit?: number;
}

/** Where a subscription begins, what it delivers and when it ends. */
export interface SubscribeOptions {
  /** The position to follow the log after: that of an event or of a batch, or 0. */
  readonly after: bigint;
  readonly signal: AbortSignal;
  readonly filter?: EventFilter;
  /** The most events in a batch; 1,000 by default. */
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
