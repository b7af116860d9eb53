import { ETYPES, isEventType, isReplicated, type Fact, type RecordedEvent } from '../../src/domain/event.js';
import type { JsonObject } from '../../src/domain/json.js';
import { keyringStream } from '../../src/domain/keyring.js';
import { acknowledgementStream, replicationStream } from '../../src/domain/replication.js';
import { schemaVersionOf } from '../../src/domain/upcast.js';
import type { Append, AppendResult, EventLog, ReadAllOptions } from '../../src/infra/eventlog/eventlog.js';
import type { Histories, History } from './histories.js';

/** The distance between the positions of two events: a log may have gaps. */
const STRIDE = 10;

/** A log in memory. What is appended is durable immediately: the caller decides when that is. */
export class SimLog implements EventLog {
  readonly logId: string;
  readonly events: RecordedEvent[] = [];
  readonly #histories: Histories;
  readonly #revisions = new Map<string, bigint>();
  /** The history after each replicated event. */
  readonly #history: History[] = [0];
  readonly #followers = new Set<() => void>();

  constructor(logId: string, histories: Histories) {
    this.logId = logId;
    this.#histories = histories;
  }

  /** A copy of the first events, which keeps the name of the log. */
  copy(count = this.events.length): SimLog {
    const copy = new SimLog(this.logId, this.#histories);
    for (const event of this.events.slice(0, count)) copy.#put(event);
    return copy;
  }

  /** The history of all replicated events, or of the first ones. */
  history(length = this.length): History {
    const history = this.#history[length];
    if (history === undefined) throw new Error(`log ${this.logId} has no ${length} events`);
    return history;
  }

  /** How many replicated events there are. */
  get length(): number {
    return this.#history.length - 1;
  }

  at(position: bigint): RecordedEvent {
    const event = this.events[Number(position) / STRIDE - 1];
    if (event === undefined) throw new Error(`log ${this.logId} has nothing at ${position}`);
    return event;
  }

  /** Reports every append, until the returned function is called. */
  follow(onAppended: () => void): () => void {
    this.#followers.add(onAppended);
    return () => {
      this.#followers.delete(onAppended);
    };
  }

  /** Appends a fact to the stream that it belongs to. */
  record({ type, data }: Fact<string, object>, origin: string, at: string): void {
    if (!isEventType(type)) throw new Error(`there is no ${type}`);
    const stream = streamOf(type, data as JsonObject, origin);
    this.#put({
      ...{ type, stream, data: data as JsonObject, etype: ETYPES[type], recordedAt: at },
      id: `00000000-0000-4000-8000-${this.#histories.newNumber().toString(16).padStart(12, '0')}`,
      revision: (this.#revisions.get(stream) ?? -1n) + 1n,
      position: this.#nextPosition,
      metadata: {
        ...{ at, actor: 'simulation', correlationId: 'c', causationId: 'c', schemaVersion: schemaVersionOf(type) },
      },
    });
    for (const notify of this.#followers) notify();
  }

  append(stream: string, events: Append['events']): Promise<AppendResult> {
    let revision = this.#revisions.get(stream) ?? -1n;
    for (const { id, type, data, metadata, etype } of events) {
      revision += 1n;
      const known = isEventType(type) ? ETYPES[type] : (etype ?? 0);
      this.#put({
        ...{ id, type, data, metadata, stream, revision, etype: known, recordedAt: metadata.at },
        position: this.#nextPosition,
      });
    }
    return Promise.resolve({ revision, position: this.#nextPosition - BigInt(STRIDE) });
  }

  async appendAll(appends: readonly Append[]): Promise<void> {
    for (const { stream, events } of appends) await this.append(stream, events);
  }

  async *readAll({ after = 0n, limit = Infinity }: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    const from = Number(after) / STRIDE;
    for (const event of this.events.slice(from, from + limit)) yield event;
  }

  /** Reads from the end, which is all that is asked for. */
  async *readStream(stream: string): AsyncIterable<RecordedEvent> {
    for (const event of this.events.toReversed()) if (event.stream === stream) yield event;
  }

  hasPosition(): never {
    throw notUsed();
  }

  serverVersion(): never {
    throw notUsed();
  }

  subscribe(): never {
    throw notUsed();
  }

  truncate(): never {
    throw notUsed();
  }

  tombstone(): never {
    throw notUsed();
  }

  has(): never {
    throw notUsed();
  }

  head(): Promise<bigint> {
    return Promise.resolve(this.#nextPosition - BigInt(STRIDE));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  get #nextPosition(): bigint {
    return BigInt(STRIDE * (this.events.length + 1));
  }

  #put(event: RecordedEvent): void {
    this.events.push(event);
    this.#revisions.set(event.stream, event.revision);
    if (isReplicated(event)) this.#history.push(this.#histories.next(this.history(), event));
  }
}

function streamOf(type: string, data: JsonObject, origin: string): string {
  switch (type) {
    case 'KeyRotated':
      return keyringStream(origin);
    case 'ReplicasAcknowledged':
      return acknowledgementStream(origin);
    case 'MissionCreated':
      return `mission-${JSON.stringify(data['missionId'])}`;
    default:
      return replicationStream(origin);
  }
}

function notUsed(): Error {
  return new Error('neither a core nor a reading uses this');
}
