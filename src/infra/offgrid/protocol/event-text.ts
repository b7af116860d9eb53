import { z } from 'zod';
import type { RecordedEvent } from '../../../domain/event.js';
import type { JsonObject } from '../../../domain/json.js';
import { canonicalJson } from '../../eventlog/canonical-json.js';
import type { NewEvent } from '../../eventlog/eventlog.js';
import { EVENT_ID } from '../../eventlog/prepare-append.js';

/** An event as hosts keep it: everything except its position in the log. */
export type EventContent = NewEvent & Pick<RecordedEvent, 'stream' | 'revision'>;

/** The text that is sealed for an event: canonical JSON of id, stream, revision, type, data and metadata, as stored. */
export function eventText({ id, stream, revision, type, data, metadata }: EventContent): string {
  const names = `${JSON.stringify(id)},${JSON.stringify(stream)},${revision},${JSON.stringify(type)}`;
  return `[${names},${canonicalJson(data)},${canonicalJson(metadata)}]`;
}

const metadataSchema = z.looseObject({
  at: z.string(),
  actor: z.string(),
  correlationId: z.string(),
  causationId: z.string(),
  schemaVersion: z.int().nonnegative(),
});
const eventSchema = z.tuple([
  z.string().regex(EVENT_ID),
  z.string().min(1),
  z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  z.string().min(1),
  z.record(z.string(), z.unknown()),
  metadataSchema,
]);

/** The event that a text holds; undefined when the text is not an event. */
export function eventOf(text: string): EventContent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = eventSchema.safeParse(value);
  if (!parsed.success) return undefined;
  const [id, stream, revision, type, data, metadata] = parsed.data;
  return {
    id,
    stream,
    revision: BigInt(revision),
    type,
    data: data as JsonObject,
    metadata: metadata,
  };
}
