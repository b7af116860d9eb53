import { z } from 'zod';
import { ETYPES, isEventType, type EventMetadata, type RecordedEvent } from '../../domain/event.js';
import { isJsonObject, type JsonObject } from '../../domain/json.js';
import { canonicalJson } from '../eventlog/canonical-json.js';
import type { NewEvent } from '../eventlog/eventlog.js';
import { LineError, reasonOf } from './import-report.js';
import { timestamp } from './timestamp.js';

const object = z.custom<JsonObject>(isJsonObject, 'must be a JSON object');
const metadata = z.looseObject({
  at: timestamp,
  actor: z.string(),
  correlationId: z.string(),
  causationId: z.string(),
  schemaVersion: z.int().nonnegative(),
});
const exported = z.object({
  id: z.string(),
  stream: z.string(),
  revision: z.string().regex(/^\d{1,18}$/, 'must be digits'),
  type: z.string(),
  etype: z.int(),
  data: object,
  metadata,
});

/** An event read from a line of an export. */
export interface ExportedEvent {
  readonly stream: string;
  readonly revision: bigint;
  readonly event: NewEvent;
}

/** An event as a line of an export: canonical JSON, with revision and position as text, since a number may not hold them. */
export function toLine(event: RecordedEvent): string {
  const { id, stream, revision, position, type, etype, data, metadata: circumstances, recordedAt } = event;
  const places = { revision: revision.toString(), position: position.toString() };
  return canonicalJson({ id, stream, ...places, type, etype, data, metadata: circumstances, recordedAt });
}

/** Reads an event from the parsed line of an export. @throws LineError naming what is wrong */
export function fromLine(value: unknown): ExportedEvent {
  const result = exported.safeParse(value);
  if (!result.success) throw new LineError(reasonOf(result.error, 'line'));
  const { id, stream, revision, type, etype, data } = result.data;
  if (!isEventType(type) || ETYPES[type] !== etype)
    throw new LineError(`'${type}' (${etype}) is not in the event catalogue`);
  const circumstances = result.data.metadata as unknown as EventMetadata;
  return { stream, revision: BigInt(revision), event: { id, type, data, metadata: circumstances } };
}
