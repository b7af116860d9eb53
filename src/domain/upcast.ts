import type { RecordedEvent } from './event.js';
import type { JsonObject } from './json.js';
import { missionUpcasters } from './mission.js';

/** Turns the data of one schema version into that of the next. */
export type Upcaster = (data: JsonObject) => JsonObject;

/** By event type: the upcaster from version 0 to 1, from 1 to 2, and so on. Kept beside each event's type. */
const UPCASTERS: ReadonlyMap<string, readonly Upcaster[]> = new Map(Object.entries({ ...missionUpcasters }));

/** The version that new events of a type are written in. */
export function schemaVersionOf(type: string): number {
  return UPCASTERS.get(type)?.length ?? 1;
}

/** An event in today's shape, whatever version it was stored in. The stored event is never rewritten. */
export function upcast(event: RecordedEvent): RecordedEvent {
  const steps = UPCASTERS.get(event.type);
  const from = event.metadata.schemaVersion;
  if (steps === undefined || from >= steps.length) return event;
  const data = steps.slice(from).reduce((older, step) => step(older), event.data);
  return { ...event, data, metadata: { ...event.metadata, schemaVersion: steps.length } };
}
