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
import type { JsonObject } from '../../../domain/json.js';
import { LogError } from '../errors.js';
import type { EventFilter } from '../eventlog.js';
import type { PreparedEvent } from '../prepare-append.js';

const encoder = new TextEncoder();

/** What a server says where it does not know a position. */
const NO_POSITION = 2n ** 64n - 1n;
/** What stands for the number of a type that is not in the catalogue: the server keeps none. No log takes it. */
const NO_NUMBER = 0;
/** The type of the record that ends a stream. */
const STREAM_DELETED = '$streamDeleted';

/** The names under which the server's own tools look for these. */
interface StoredMetadata extends Omit<EventMetadata, 'correlationId' | 'causationId'> {
  readonly $correlationId: string;
  readonly $causationId: string;
}

/** An event as the server holds it. */
export type AnyRecord = AllStreamRecordedEvent | ServerRecord;

/**
 * How our events lie in a server. Ours are those of the catalogue's types in streams of its categories, and whatever else there has
 * the metadata of our events, for a newer build wrote that; all others (the server's own statistics, streams of others) are passed over.
 */
export class EventCodec {
  readonly #prefix: string;

  /** @param streamPrefix what every stream's name begins with there */
  constructor(streamPrefix: string) {
    this.#prefix = streamPrefix;
  }

  streamName(stream: string): string {
    return `${this.#prefix}${stream}`;
  }

  /** Beginnings of the names of the streams that a filter may want something of. */
  prefixes(filter?: EventFilter): string[] {
    if (filter?.streams !== undefined) return filter.streams.map((stream) => this.streamName(stream));
    return (filter?.categories ?? CATEGORIES).map((category) => this.streamName(`${category}-`));
  }

  /**
   * An event as the client takes it. The client writes members in the order they have, so that of canonical JSON goes in:
   * whoever reads them finds them as any other log gives them. Metadata goes in as bytes, which cost the client less.
   */
  toServer({ id, type, data, metadata }: PreparedEvent): JSONEventData {
    const { correlationId, causationId, ...others } = JSON.parse(metadata) as EventMetadata;
    if ('$correlationId' in others || '$causationId' in others) {
      throw new LogError(
        'EVENT_INVALID',
        'Metadata may not have $correlationId or $causationId: the server has its own.',
      );
    }
    const stored: StoredMetadata = Object.assign(others, { $correlationId: correlationId, $causationId: causationId });
    const bytes = encoder.encode(JSON.stringify(stored));
    return { id, type, data: JSON.parse(data) as JSONType, metadata: bytes, contentType: 'application/json' };
  }

  /** Whether a record counts for the end of the log: an event of ours, or the end of a stream of ours. */
  isOurs(record: AnyRecord): boolean {
    const { streamId, type } = record;
    if (!streamId.startsWith(this.#prefix)) return false;
    if (!isEventType(type) && type !== STREAM_DELETED && !isOfNewerBuild(record)) return false;
    return isCategory(categoryOf(streamId.slice(this.#prefix.length)));
  }

  /** Reads an event of ours; nothing for any other record. @throws LogError LOG_CORRUPT, LOG_FAILED */
  toEvent(record: AnyRecord): RecordedEvent | undefined {
    const { type, data, metadata, revision, streamId, created } = record;
    if (type === STREAM_DELETED || !this.isOurs(record)) return undefined;
    const stream = streamId.slice(this.#prefix.length);
    const position = positionOf(record);
    if (position === undefined) {
      throw new LogError(
        'LOG_FAILED',
        'The server does not say where in the log events of a stream are. Use EventStoreDB 22.6 or later, and no transactions.',
      );
    }
    if (!isObject(data) || !isObject(metadata)) {
      throw new LogError(
        'LOG_CORRUPT',
        `The event at position ${position} (stream '${stream}') holds no JSON: it was not written by Sheratan.`,
      );
    }
    // Assigned and not spread, here and above: that is eight times as fast.
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

/** Whether a record is an event of ours, though its type is not in the catalogue. */
function isOfNewerBuild({ type, metadata }: AnyRecord): boolean {
  if (type.startsWith('$') || !isObject(metadata)) return false;
  const { at, actor, schemaVersion } = metadata as Partial<StoredMetadata>;
  return typeof at === 'string' && typeof actor === 'string' && typeof schemaVersion === 'number';
}

/** Where in the log a record is, if the server says it. */
export function positionOf({ position }: AnyRecord): bigint | undefined {
  return position === undefined || position.commit === NO_POSITION ? undefined : position.commit;
}

/** Whether a record's data or metadata is a JSON object. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** An event that is none of the log's. */
export function bareEvent(type: string, data: Readonly<Record<string, unknown>>): JSONEventData {
  return { id: randomUUID(), type, data: { ...data }, metadata: undefined, contentType: 'application/json' };
}
