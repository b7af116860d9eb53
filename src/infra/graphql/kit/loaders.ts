import DataLoader from 'dataloader';
import type { Kysely } from 'kysely';
import type { MissionStatsRow } from '../../../projections/missions.js';
import { jobColumns, missionColumns, taskColumns } from '../../readmodels/columns.js';
import type { MissionsDatabase, Stored } from '../../readmodels/missions/database.js';
import type { OutboxDatabase } from '../../readmodels/outbox/database.js';
import { acknowledgedOf, type Acknowledged } from '../../readmodels/outbox/entry-queries.js';

/** Reads by id, batched and remembered for one request, or until they are to be read anew. */
export interface Loaders {
  readonly mission: DataLoader<string, StoredMission | undefined>;
  readonly task: DataLoader<string, StoredTask | undefined>;
  readonly job: DataLoader<string, StoredJob | undefined>;
  readonly stats: DataLoader<string, Stored<MissionStatsRow> | undefined>;
  /** How many events of a stream a quorum has signed for. */
  readonly acknowledged: DataLoader<string, Acknowledged>;
  /** Forgets what was read: later rows are wanted now. */
  forget(): void;
}

export type StoredMission = MissionsDatabase['missions'];
export type StoredTask = MissionsDatabase['tasks'];
export type StoredJob = MissionsDatabase['jobs'];

/** Loaders for one request. */
export function makeLoaders(db: Kysely<MissionsDatabase>, outboxDb: Kysely<OutboxDatabase>): Loaders {
  const loaders = {
    mission: byKey('id', (ids) => db.selectFrom('missions').select(missionColumns).where('id', 'in', ids).execute()),
    task: byKey('id', (ids) => db.selectFrom('tasks').select(taskColumns).where('id', 'in', ids).execute()),
    job: byKey('id', (ids) => db.selectFrom('jobs').select(jobColumns).where('id', 'in', ids).execute()),
    stats: byKey('mission_id', (ids) =>
      db.selectFrom('mission_stats').selectAll().where('mission_id', 'in', ids).execute(),
    ),
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
