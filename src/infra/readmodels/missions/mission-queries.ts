import { sql, type Kysely } from 'kysely';
import type { MissionStatus } from '../../../domain/mission.js';
import { checkLists, readPage, type Page, type PageRequest } from '../page.js';
import { missionColumns } from './columns.js';
import type { MissionsDatabase, MissionsSource, StoredMission, StoredStats } from './database.js';

/** Which missions a page is about: all given conditions must match. */
export interface MissionFilter {
  readonly statuses?: readonly MissionStatus[] | null;
  readonly tag?: string | null;
  /** The title contains this, whatever the case (of ASCII letters). */
  readonly titleContains?: string | null;
}

/** A page of the missions that a filter asks for. @throws RequestError BAD_USER_INPUT, CURSOR_INVALID */
export async function missionPage<N>(
  { db, log }: MissionsSource,
  filter: MissionFilter | null | undefined,
  page: PageRequest,
  toNode: (row: StoredMission) => N,
): Promise<Page<N>> {
  let query = db.selectFrom('missions').select(missionColumns);
  const { statuses, tag, titleContains } = filter ?? {};
  checkLists({ 'filter.statuses': statuses });
  if (statuses) query = query.where('status', 'in', statuses);
  if (tag) query = query.where(sql<boolean>`exists (select 1 from json_each(missions.tags) where value = ${tag})`);
  if (titleContains) query = query.where(sql<boolean>`instr(lower(title), lower(${titleContains})) > 0`);
  return readPage(query, { logId: log.logId, table: 'missions' }, page, toNode);
}

/** The missions with some ids, in no order. */
export function missionsById(db: Kysely<MissionsDatabase>, ids: readonly string[]): Promise<StoredMission[]> {
  return db.selectFrom('missions').select(missionColumns).where('id', 'in', ids).execute();
}

/** The missions changed after a position, in the order they changed; one of them when `id` is given. */
export async function changedMissions(
  db: Kysely<MissionsDatabase>,
  after: bigint,
  id: string | undefined,
  limit: number,
): Promise<StoredMission[]> {
  let query = db.selectFrom('missions').select(missionColumns).where('missions.position', '>', after.toString());
  if (id !== undefined) query = query.where('id', '=', id);
  return query.orderBy('missions.position').limit(limit).execute();
}

/** How many tasks, and jobs in each status, some missions have. */
export function statsById(db: Kysely<MissionsDatabase>, ids: readonly string[]): Promise<StoredStats[]> {
  return db.selectFrom('mission_stats').selectAll().where('mission_id', 'in', ids).execute();
}

/** The ids of open jobs of closed missions, at most so many. */
export async function openJobsOfClosedMissions(db: Kysely<MissionsDatabase>, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('mission_stats')
    .innerJoin('jobs', 'jobs.mission_id', 'mission_stats.mission_id')
    .select('jobs.id')
    // As the partial index says it: a parameter would keep SQLite from using it.
    .where(sql<boolean>`mission_stats.closed = 1 and mission_stats.pending + mission_stats.dispatched > 0`)
    .where('jobs.status', 'in', ['PENDING', 'DISPATCHED'])
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
