import { randomUUID } from 'node:crypto';
import type {
  AllStreamRecordedEvent,
  JSONEventData,
  JSONType,
  RecordedEvent as ServerRecord,
} from '@eventstore/db-client';
import {
  CATEGORIES,
  ETYPES,
  categoryOf,
  isCategory,
  isEventType,
  type EventMetadata,
  type RecordedEvent,
} from '../../../domain/event.js';
import { isJsonObject, type JsonObject } from '../../../domain/json.js';
import { LogError } from '../errors.js';
import type { EventFilter } from '../eventlog.js';
import type { PreparedEvent } from '../prepare-append.js';

const encoder = new TextEncoder();

/** The value that a server sends for an unknown position. */
const NO_POSITION = 2n ** 64n - 1n;
/** Replaces the number of a type that is not in the catalogue, because the server stores no numbers. No log accepts it. */
const NO_NUMBER = 0;
/** The type of the record that ends a stream. */
const STREAM_DELETED = '$streamDeleted';

/** Metadata with the names that the server's own tools expect. */
interface StoredMetadata extends Omit<EventMetadata, 'correlationId' | 'causationId'> {
  readonly $correlationId: string;
  readonly $causationId: string;
}

/** An event as the server stores it. */
export type AnyRecord = AllStreamRecordedEvent | ServerRecord;

/**
 * Converts between events and the server's records. A record is ours if its stream has a category of the catalogue, and
 * either its type is in the catalogue or it has the metadata of our events (then a newer build wrote it). All others, such
 * as the server's statistics and the streams of other applications, are ignored.
 */
export class EventCodec {
  readonly #prefix: string;

  /** @param streamPrefix the prefix of every stream's name on the server */
  constructor(streamPrefix: string) {
    this.#prefix = streamPrefix;
  }

  /** The name of a stream on the server. */
  streamName(stream: string): string {
    return `${this.#prefix}${stream}`;
  }

  /** The prefixes of the names of all streams that may have events matching a filter. */
  prefixes(filter?: EventFilter): string[] {
    if (filter?.streams !== undefined) return filter.streams.map((stream) => this.streamName(stream));
    return (filter?.categories ?? CATEGORIES).map((category) => this.streamName(`${category}-`));
  }

  /**
   * An event in the client's form. The client writes members in their given order, so canonical JSON is parsed here: readers
   * then get the same order of members as from any other log. Metadata is passed as bytes, which is cheaper for the client.
   * @throws LogError EVENT_INVALID
   */
  toServer({ id, type, data, metadata }: PreparedEvent): JSONEventData {
    const { correlationId, causationId, ...others } = JSON.parse(metadata) as EventMetadata;
    if ('$correlationId' in others || '$causationId' in others) {
      throw new LogError(
        'EVENT_INVALID',
        'Metadata may not have $correlationId or $causationId: the server uses these names.',
      );
    }
    const stored: StoredMetadata = Object.assign(others, { $correlationId: correlationId, $causationId: causationId });
    const bytes = encoder.encode(JSON.stringify(stored));
    return { id, type, data: JSON.parse(data) as JSONType, metadata: bytes, contentType: 'application/json' };
  }

  /** Whether a record belongs to the log: it is an event of ours, or ends a stream of ours. */
  isOurs(record: AnyRecord): boolean {
    const { streamId, type } = record;
    if (!streamId.startsWith(this.#prefix)) return false;
    if (!isEventType(type) && type !== STREAM_DELETED && !isOfNewerBuild(record)) return false;
    return isCategory(categoryOf(streamId.slice(this.#prefix.length)));
  }

  /** Converts a record of ours to an event; returns undefined for any other record. @throws LogError LOG_CORRUPT, LOG_FAILED */
  toEvent(record: AnyRecord): RecordedEvent | undefined {
    const { type, data, metadata, revision, streamId, created } = record;
    if (type === STREAM_DELETED || !this.isOurs(record)) return undefined;
    const stream = streamId.slice(this.#prefix.length);
    const position = positionOf(record);
    if (position === undefined) {
      throw new LogError(
        'LOG_FAILED',
        'The server does not report the log positions of the events of a stream. Use EventStoreDB 22.6 or later, and no transactions.',
      );
    }
    if (!isObject(data) || !isObject(metadata)) {
      throw new LogError(
        'LOG_CORRUPT',
        `The data or metadata of the event at position ${position} (stream '${stream}') is not a JSON object: Sheratan did not write it.`,
      );
    }
    // `Object.assign` here and above is eight times as fast as spreading.
    const { $correlationId, $causationId, ...others } = metadata as unknown as StoredMetadata;
    return {
      id: record.id,
      stream,
      revision,
      position,
      type,
      etype: isEventType(type) ? ETYPES[type] : NO_NUMBER,
      data: data as JsonObject,
      metadata: Object.assign(others, { correlationId: $correlationId, causationId: $causationId }),
      recordedAt: created.toISOString(),
    };
  }
}

/** Whether a record has the metadata of our events although its type is not in the catalogue. */
function isOfNewerBuild({ type, metadata }: AnyRecord): boolean {
  if (type.startsWith('$') || !isObject(metadata)) return false;
  const { at, actor, schemaVersion } = metadata as Partial<StoredMetadata>;
  return typeof at === 'string' && typeof actor === 'string' && typeof schemaVersion === 'number';
}

/** The position of a record in the log; undefined if the server does not report it. */
export function positionOf({ position }: AnyRecord): bigint | undefined {
  return position === undefined || position.commit === NO_POSITION ? undefined : position.commit;
}

/** Whether the data or metadata of a record is a JSON object. */
function isObject(value: unknown): value is object {
  return isJsonObject(value) && !(value instanceof Uint8Array);
}

/** Makes an event that is not part of the log, such as those of the lease, with a random id. */
export function bareEvent(type: string, data: Readonly<Record<string, unknown>>): JSONEventData {
  return { id: randomUUID(), type, data: { ...data }, metadata: undefined, contentType: 'application/json' };
}
