import { crc32 } from 'node:zlib';
import type { EventMetadata, RecordedEvent } from '../../../domain/event.js';
import type { JsonObject } from '../../../domain/json.js';
import { LogError } from '../errors.js';
import type { NewEvent } from '../eventlog.js';
import { prepareAppend, type Provenance } from '../prepare-append.js';

/** An event ready to be stored: its place is all that is missing. */
export interface EncodedEvent {
  readonly id: string;
  /** Its columns from id to metadata, as members of a JSON array; data and metadata are canonical JSON (RFC 8785). */
  readonly columns: string;
  /** The checksum over these columns. */
  readonly checksum: number;
  /** Bytes of data and metadata. */
  readonly bytes: number;
}

/** Where an event is stored, and when it was recorded. */
type Place = Pick<EventRow, 'position' | 'stream' | 'revision' | 'recorded_at'>;

/** Prepares the events of one append, judging everything that can be judged without the log. */
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

/** The CRC-32 over everything else in a row: what happened, then its place. */
export function checksumOf(row: Omit<EventRow, 'checksum'>): number {
  return crc32(contentText(row) + placeText(row));
}

/** The same from the checksum of what happened. */
function checksumAt(place: Place, ofContent: number): number {
  return crc32(placeText(place), ofContent);
}

function contentText({ id, type, etype, metadata, data }: Omit<EventRow, keyof Place | 'checksum'>): string {
  return `${id}\n${type}\n${etype}\n${metadata}\n${data}`;
}

function placeText({ position, stream, revision, recorded_at }: Place): string {
  return `\n${position}\n${stream}\n${revision}\n${recorded_at}`;
}

/** Reads a row back. @throws LogError LOG_CORRUPT, naming the position, when it is not what was written. */
export function decode(row: EventRow): RecordedEvent {
  if (!isIntact(row)) {
    throw new LogError(
      'LOG_CORRUPT',
      `The event at position ${row.position} (stream '${row.stream}') is damaged: its checksum does not match. ` +
        'Stop the core and run `sheratan restore --repair`, or restore log.db from a copy; ' +
        '`sheratan export --skip-damaged` saves what can still be read.',
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

/** The types are judged too: a damaged row may hold the bytes of a text as something that only prints the same. */
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
