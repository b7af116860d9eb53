import type { RecordedEvent } from './event.js';
import type { JsonObject } from './json.js';
import { missionUpcasters } from './mission.js';
import { NewerEventError } from './newer-event.js';
import { replicationUpcasters } from './replication.js';

/** Turns the data of one schema version into that of the next. */
export type Upcaster = (data: JsonObject) => JsonObject;

/** By event type: the upcasters from version 0 to 1, from 1 to 2, and so on. Each is defined beside its event type. */
const UPCASTERS: ReadonlyMap<string, readonly Upcaster[]> = new Map(
  Object.entries({ ...missionUpcasters, ...replicationUpcasters }),
);

/** The schema version that new events of a type have. */
export function schemaVersionOf(type: string): number {
  return UPCASTERS.get(type)?.length ?? 1;
}

/**
 * Brings an event of any stored version into today's shape. The stored event is never rewritten.
 * @throws NewerEventError when its schema version is higher than any that this build knows
 */
export function upcast<E extends Pick<RecordedEvent, 'type' | 'data' | 'metadata'>>(event: E): E {
  const steps = UPCASTERS.get(event.type);
  const from = event.metadata.schemaVersion;
  const current = steps?.length ?? 1;
  if (from > current) throw new NewerEventError(event);
  if (steps === undefined || from >= current) return event;
  const data = steps.slice(from).reduce((older, step) => step(older), event.data);
  return { ...event, data, metadata: { ...event.metadata, schemaVersion: current } };
}
