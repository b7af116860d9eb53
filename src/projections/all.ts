import { missions } from './missions.js';
import { outbox } from './outbox.js';
import type { Projection } from './projection.js';

/** Every read model of a core, by name. */
export const PROJECTIONS: ReadonlyMap<string, Projection> = new Map(
  [missions, outbox].map((projection) => [projection.name, projection]),
);
