import type { JobRow, MissionRow, MissionStatsRow, TaskRow } from '../../../projections/missions.js';

/** A row as SQLite gives it: positions are read as text. */
export type Stored<R> = { readonly [Name in keyof R]: R[Name] extends bigint ? string : R[Name] };

/** The tables of `missions.db`, as queries see them. */
export interface MissionsDatabase {
  readonly missions: Stored<MissionRow>;
  readonly tasks: Stored<TaskRow>;
  readonly jobs: Stored<JobRow>;
  readonly mission_stats: Stored<MissionStatsRow>;
}
