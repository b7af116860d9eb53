import type { Kysely } from 'kysely';
import type { JobRow, MissionRow, MissionStatsRow, TaskRow } from '../../../projections/missions.js';
import type { Stored } from '../../../projections/projection.js';

/** The tables of `missions.db`, as queries read them. */
export interface MissionsDatabase {
  readonly missions: Stored<MissionRow>;
  readonly tasks: Stored<TaskRow>;
  readonly jobs: Stored<JobRow>;
  readonly mission_stats: Stored<MissionStatsRow>;
}

/** A mission as stored. */
export type StoredMission = MissionsDatabase['missions'];
/** A task as stored. */
export type StoredTask = MissionsDatabase['tasks'];
/** A job as stored. */
export type StoredJob = MissionsDatabase['jobs'];
/** The counts of a mission's tasks and jobs, as stored. */
export type StoredStats = MissionsDatabase['mission_stats'];

/** The source of pages of missions, tasks and jobs. */
export interface MissionsSource {
  readonly db: Kysely<MissionsDatabase>;
  readonly log: { readonly logId: string };
}
