import { sql, type Kysely } from 'kysely';
import type { JobStatus } from '../../../domain/job.js';
import { checkLists, readPage, type Page, type PageRequest } from '../page.js';
import { jobColumns } from './columns.js';
import type { MissionsDatabase, MissionsSource, StoredJob } from './database.js';

/** Selects the jobs of a page: all given conditions must match (AND). */
export interface JobFilter {
  readonly missionId?: string | null;
  readonly taskId?: string | null;
  readonly statuses?: readonly JobStatus[] | null;
  readonly kinds?: readonly string[] | null;
  readonly worker?: string | null;
}

/** Selects the job changes of a subscription: all given conditions must match (AND). */
export interface JobChangeFilter {
  readonly missionId?: string | undefined;
  readonly kinds?: readonly string[] | undefined;
}

/** A page of the jobs that match a filter. @throws RequestError BAD_USER_INPUT, CURSOR_INVALID */
export async function jobPage<N>(
  { db, log }: MissionsSource,
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

/** The jobs with the given ids, in no particular order. */
export function jobsById(db: Kysely<MissionsDatabase>, ids: readonly string[]): Promise<StoredJob[]> {
  return db.selectFrom('jobs').select(jobColumns).where('id', 'in', ids).execute();
}

/** The jobs that changed after a position, in the order of their last change. */
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

/** The ids of the pending jobs that are handed out next, of the given kinds or of any: higher priority first, then older. */
export async function nextJobs(
  db: Kysely<MissionsDatabase>,
  kinds: readonly string[] | undefined,
  limit: number,
): Promise<string[]> {
  let query = db
    .selectFrom('jobs')
    .select('id')
    // Literal, like the partial index: with a parameter SQLite would not use the index.
    .where(sql<boolean>`status = 'PENDING'`)
    .orderBy('priority', 'desc')
    .orderBy('created_at')
    .orderBy('id')
    .limit(limit);
  if (kinds !== undefined) query = query.where('kind', 'in', kinds);
  return (await query.execute()).map(({ id }) => id);
}

/** The jobs that were claimed under a key and not released since, by priority, then by age. */
export function jobsClaimedUnder(
  db: Kysely<MissionsDatabase>,
  claimKey: string,
): Promise<Pick<StoredJob, 'id' | 'claim_hash'>[]> {
  return db
    .selectFrom('jobs')
    .select(['id', 'claim_hash'])
    .where('claim_key', '=', claimKey)
    .orderBy('priority', 'desc')
    .orderBy('created_at')
    .orderBy('id')
    .execute();
}

/** The jobs whose leases have run out by a time (ISO 8601), the earliest lease first. */
export function expiredLeases(
  db: Kysely<MissionsDatabase>,
  by: string,
  limit: number,
): Promise<Pick<StoredJob, 'id' | 'attempt'>[]> {
  return (
    db
      .selectFrom('jobs')
      .select(['id', 'attempt'])
      // Literal, like the partial index: with a parameter SQLite would not use the index.
      .where(sql<boolean>`status = 'DISPATCHED'`)
      .where('lease_expires_at', '<=', by)
      .orderBy('lease_expires_at')
      .limit(limit)
      .execute()
  );
}
