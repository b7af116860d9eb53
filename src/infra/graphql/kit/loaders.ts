import DataLoader from 'dataloader';
import type { Kysely } from 'kysely';
import type {
  MissionsDatabase,
  StoredJob,
  StoredMission,
  StoredStats,
  StoredTask,
} from '../../readmodels/missions/database.js';
import { jobsById } from '../../readmodels/missions/job-queries.js';
import { missionsById, statsById } from '../../readmodels/missions/mission-queries.js';
import { tasksById } from '../../readmodels/missions/task-queries.js';
import type { OutboxDatabase } from '../../readmodels/outbox/database.js';
import { acknowledgedOf, type Acknowledged } from '../../readmodels/outbox/entry-queries.js';

/** Reads by id. They are batched, and cached for one request or until `forget`. */
export interface Loaders {
  readonly mission: DataLoader<string, StoredMission | undefined>;
  readonly task: DataLoader<string, StoredTask | undefined>;
  readonly job: DataLoader<string, StoredJob | undefined>;
  readonly stats: DataLoader<string, StoredStats | undefined>;
  /** How many events of a stream a quorum has signed for. */
  readonly acknowledged: DataLoader<string, Acknowledged>;
  /** Clears the cache, so that later reads see newer rows. */
  forget(): void;
}

/** Loaders for one request. */
export function makeLoaders(db: Kysely<MissionsDatabase>, outboxDb: Kysely<OutboxDatabase>): Loaders {
  const loaders = {
    mission: byKey('id', (ids) => missionsById(db, ids)),
    task: byKey('id', (ids) => tasksById(db, ids)),
    job: byKey('id', (ids) => jobsById(db, ids)),
    stats: byKey('mission_id', (ids) => statsById(db, ids)),
    acknowledged: new DataLoader((streams: readonly string[]) => acknowledgedOf(outboxDb, streams)),
  };
  return {
    ...loaders,
    forget: () => {
      for (const loader of Object.values(loaders)) loader.clearAll();
    },
  };
}

function byKey<K extends string, R extends Readonly<Record<K, string>>>(
  key: K,
  read: (keys: readonly string[]) => Promise<R[]>,
): DataLoader<string, R | undefined> {
  return new DataLoader(async (keys) => {
    const rows = new Map<string, R>((await read(keys)).map((row) => [row[key], row]));
    return keys.map((wanted) => rows.get(wanted));
  });
}
