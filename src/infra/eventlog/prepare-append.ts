import { categoryOf, ETYPES, isCategory, isEventType } from '../../domain/event.js';
import { canonicalJson } from './canonical-json.js';
import { LogError } from './errors.js';
import { MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES, MAX_STREAM_LENGTH, type NewEvent } from './eventlog.js';

/** A validated event, encoded for a log. */
export interface PreparedEvent {
  readonly id: string;
  readonly type: string;
  readonly etype: number;
  /** Canonical JSON (RFC 8785). */
  readonly data: string;
  /** Canonical JSON (RFC 8785). */
  readonly metadata: string;
  /** Bytes of data and metadata. */
  readonly bytes: number;
}

/** The form of a type's name in the catalogue. */
const NEWER_TYPE = /^[A-Z][A-Za-z0-9]{0,63}$/;
/** The form of an event's id: a UUID in lower case. */
export const EVENT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Where events come from: the commands of this build, or a history that a newer build may have written. */
export type Provenance = 'COMMANDS' | 'HISTORY';

/** The highest number that an event type can have. */
const MAX_ETYPE = 65_535;
const NUMBERS: ReadonlySet<number> = new Set(Object.values(ETYPES));

/** Validates an append as far as possible without the log, and encodes its events. @throws LogError EVENT_INVALID */
export function prepareAppend(
  stream: string,
  events: readonly NewEvent[],
  provenance: Provenance = 'COMMANDS',
): PreparedEvent[] {
  const isStream = /^[a-z]+-./.test(stream) && (provenance === 'HISTORY' || isCategory(categoryOf(stream)));
  if (!isStream || stream.length > MAX_STREAM_LENGTH || !stream.isWellFormed()) {
    throw new LogError(
      'EVENT_INVALID',
      `'${stream.slice(0, MAX_STREAM_LENGTH)}' is not a stream name: it must be <category>-<id> with at most ${MAX_STREAM_LENGTH} characters and a category of the event catalogue.`,
    );
  }
  if (events.length < 1 || events.length > MAX_APPEND_EVENTS) {
    throw new LogError(
      'EVENT_INVALID',
      `An append must have 1–${MAX_APPEND_EVENTS} events; this one for '${stream}' has ${events.length}.`,
    );
  }
  const prepared = events.map((event) => prepareEvent(stream, event, provenance));
  const bytes = prepared.reduce((sum, event) => sum + event.bytes, 0);
  if (bytes > MAX_APPEND_BYTES) {
    throw new LogError(
      'EVENT_INVALID',
      `An append may have at most ${MAX_APPEND_BYTES} bytes; this one for '${stream}' has ${bytes}.`,
    );
  }
  return prepared;
}

function prepareEvent(stream: string, event: NewEvent, provenance: Provenance): PreparedEvent {
  const { id, type } = event;
  const etype = isEventType(type) ? ETYPES[type] : provenance === 'HISTORY' ? newerEtype(event) : undefined;
  if (etype === undefined) throw new LogError('EVENT_INVALID', `'${type}' is not in the event catalogue.`);
  if (!EVENT_ID.test(id))
    throw new LogError('EVENT_INVALID', `'${id}' is not an event id: it must be a lowercase UUID.`);
  const data = canonicalJson(event.data);
  const metadata = canonicalJson(event.metadata);
  const bytes = Buffer.byteLength(data) + Buffer.byteLength(metadata);
  if (bytes > MAX_EVENT_BYTES) {
    throw new LogError(
      'EVENT_INVALID',
      `An event may have at most ${MAX_EVENT_BYTES} bytes; ${type} for '${stream}' has ${bytes}.`,
    );
  }
  return { id, type, etype, data, metadata, bytes };
}

/** The number of a type that this build does not know; undefined if it is invalid or is the number of a known type. */
function newerEtype({ type, etype }: NewEvent): number | undefined {
  if (etype === undefined || !NEWER_TYPE.test(type)) return undefined;
  return Number.isInteger(etype) && etype >= 10 && etype <= MAX_ETYPE && !NUMBERS.has(etype) ? etype : undefined;
}
