import { crc32 } from 'node:zlib';
import type { EventMetadata, RecordedEvent } from '../../../domain/event.js';
import type { JsonObject } from '../../../domain/json.js';
import { LogError } from '../errors.js';
import type { NewEvent } from '../eventlog.js';
import { prepareAppend, type Provenance } from '../prepare-append.js';

/** An event encoded for storage, without its place. */
export interface EncodedEvent {
  readonly id: string;
  /** Its columns from id to metadata, as members of a JSON array; data and metadata are canonical JSON (RFC 8785). */
  readonly columns: string;
  /** The checksum over these columns. */
  readonly checksum: number;
  /** Bytes of data and metadata. */
  readonly bytes: number;
}

/** The place where an event is stored, and the time it was recorded. */
type Place = Pick<EventRow, 'position' | 'stream' | 'revision' | 'recorded_at'>;

/** Validates the events of one append as far as possible without the log, and encodes them. @throws LogError EVENT_INVALID */
export function encodeAppend(
  stream: string,
  events: readonly NewEvent[],
  provenance: Provenance = 'COMMANDS',
): EncodedEvent[] {
  return prepareAppend(stream, events, provenance).map(({ id, type, etype, data, metadata, bytes }) => {
    const content = { id, type, etype, data, metadata };
    return {
      id,
      columns: JSON.stringify(Object.values(content)).slice(1, -1),
      checksum: crc32(contentText(content)),
      bytes,
    };
  });
}

/** An event's row as a JSON array, in the order of its columns. */
export function rowJson({ columns, checksum }: EncodedEvent, place: Place): string {
  const { position, stream, revision, recorded_at } = place;
  return `[${position},${JSON.stringify(stream)},${revision},${columns},"${recorded_at}",${checksumAt(place, checksum)}]`;
}

/** The columns of an event's row in `log.db`, in their order. */
export const EVENT_COLUMNS = 'position, stream, revision, id, type, etype, data, metadata, recorded_at, checksum';

/** An event's row in `log.db`, in the order of its columns. */
export interface EventRow {
  readonly position: number;
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  readonly etype: number;
  readonly data: string;
  readonly metadata: string;
  readonly recorded_at: string;
  readonly checksum: number;
}

/** The type of a row that only keeps the place of a local event which a repair could not recover. */
export const EMPTIED = '$truncated';

/** The CRC-32 over all other columns of a row: first the event's content, then its place. */
export function checksumOf(row: Omit<EventRow, 'checksum'>): number {
  return crc32(contentText(row) + placeText(row));
}

/** The same checksum, computed from the checksum of the content. */
function checksumAt(place: Place, ofContent: number): number {
  return crc32(placeText(place), ofContent);
}

function contentText({ id, type, etype, metadata, data }: Omit<EventRow, keyof Place | 'checksum'>): string {
  return `${id}\n${type}\n${etype}\n${metadata}\n${data}`;
}

function placeText({ position, stream, revision, recorded_at }: Place): string {
  return `\n${position}\n${stream}\n${revision}\n${recorded_at}`;
}

/** Decodes a row. @throws LogError LOG_CORRUPT, naming the position, if the row is not what was written */
export function decode(row: EventRow): RecordedEvent {
  if (!isIntact(row)) {
    throw new LogError(
      'LOG_CORRUPT',
      `The event at position ${row.position} (stream '${row.stream}') is damaged: its checksum does not match. ` +
        'Stop the core and run `sheratan restore --repair`, or restore log.db from a copy; ' +
        '`sheratan export --skip-damaged` saves the events that can still be read.',
    );
  }
  return {
    id: row.id,
    stream: row.stream,
    revision: BigInt(row.revision),
    position: BigInt(row.position),
    type: row.type,
    etype: row.etype,
    data: JSON.parse(row.data) as JsonObject,
    metadata: JSON.parse(row.metadata) as EventMetadata,
    recordedAt: row.recorded_at,
  };
}

/**
 * Whether a row is what was written. It checks the types of the values too: in a damaged row a text may have become
 * a value of another type that only prints the same.
 */
export function isIntact(row: EventRow): boolean {
  return (
    Number.isSafeInteger(row.position) &&
    Number.isSafeInteger(row.revision) &&
    Number.isSafeInteger(row.etype) &&
    typeof row.stream === 'string' &&
    typeof row.id === 'string' &&
    typeof row.type === 'string' &&
    typeof row.data === 'string' &&
    typeof row.metadata === 'string' &&
    typeof row.recorded_at === 'string' &&
    checksumOf(row) === row.checksum
  );
}
