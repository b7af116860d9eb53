import type { Kysely } from 'kysely';
import { jobColumns } from '../columns.js';
import type { MissionsDatabase } from './database.js';
import { readPage, type Page, type PageRequest, type PageSource } from '../../graphql/kit/connection.js';
import { checkLists } from '../../graphql/kit/inputs.js';
import type { StoredJob } from '../../graphql/kit/loaders.js';
import type { JobFilter } from '../../graphql/missions/job-types.js';

/** Which job changes a subscription is about. */
export interface JobChangeFilter {
  readonly missionId?: string | undefined;
  readonly kinds?: readonly string[] | undefined;
}

/** A page of the jobs that a filter asks for. @throws GraphQLError BAD_USER_INPUT, CURSOR_INVALID */
export async function jobPage<N>(
  { db, log }: PageSource,
  filter: JobFilter | null | undefined,
  page: PageRequest,
  toNode: (row: StoredJob) => N,
): Promise<Page<N>> {
  let query = db.selectFrom('jobs').select(jobColumns);
  const { missionId, taskId, statuses, kinds, worker } = filter ?? {};
  checkLists({ 'filter.statuses': statuses, 'filter.kinds': kinds });
  if (missionId) query = query.where('mission_id', '=', missionId);
  if (taskId) query = query.where('task_id', '=', taskId);
  if (statuses) query = query.where('status', 'in', statuses);
  if (kinds) query = query.where('kind', 'in', kinds);
  if (worker) query = query.where('worker', '=', worker);
  return readPage(query, { logId: log.logId, table: 'jobs' }, page, toNode);
}

/** The jobs changed after a position, in the order they changed. */
export async function changedJobs(
  db: Kysely<MissionsDatabase>,
  after: bigint,
  { missionId, kinds }: JobChangeFilter,
  limit: number,
): Promise<StoredJob[]> {
  let query = db.selectFrom('jobs').select(jobColumns).where('jobs.position', '>', after.toString());
  if (missionId !== undefined) query = query.where('mission_id', '=', missionId);
  if (kinds !== undefined) query = query.where('kind', 'in', kinds);
  return query.orderBy('jobs.position').limit(limit).execute();
}
