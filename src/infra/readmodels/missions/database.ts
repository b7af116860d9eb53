import type { Kysely } from 'kysely';
import type { JobRow, MissionRow, MissionStatsRow, TaskRow } from '../../../projections/missions.js';
import type { Stored } from '../../../projections/projection.js';

/** The tables of `missions.db`, as queries see them. */
export interface MissionsDatabase {
  readonly missions: Stored<MissionRow>;
  readonly tasks: Stored<TaskRow>;
  readonly jobs: Stored<JobRow>;
  readonly mission_stats: Stored<MissionStatsRow>;
}

export type StoredMission = MissionsDatabase['missions'];
export type StoredTask = MissionsDatabase['tasks'];
export type StoredJob = MissionsDatabase['jobs'];
export type StoredStats = MissionsDatabase['mission_stats'];

/** What pages of missions, tasks and jobs are read from. */
export interface MissionsSource {
  readonly db: Kysely<MissionsDatabase>;
  readonly log: { readonly logId: string };
}
