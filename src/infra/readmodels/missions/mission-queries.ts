import { sql, type Kysely } from 'kysely';
import type { MissionStatus } from '../../../domain/mission.js';
import { checkLists, readPage, type Page, type PageRequest } from '../page.js';
import { missionColumns } from './columns.js';
import type { MissionsDatabase, MissionsSource, StoredMission, StoredStats } from './database.js';

/** Selects the missions of a page: all given conditions must match (AND). */
export interface MissionFilter {
  readonly statuses?: readonly MissionStatus[] | null;
  readonly tag?: string | null;
  /** The title contains this text; the case of ASCII letters does not matter. */
  readonly titleContains?: string | null;
}

/** A page of the missions that match a filter. @throws RequestError BAD_USER_INPUT, CURSOR_INVALID */
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

/** The missions with the given ids, in no particular order. */
export function missionsById(db: Kysely<MissionsDatabase>, ids: readonly string[]): Promise<StoredMission[]> {
  return db.selectFrom('missions').select(missionColumns).where('id', 'in', ids).execute();
}

/** The missions that changed after a position, in the order of their last change; only the one with `id` when it is given. */
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

/** How many tasks, and jobs in each status, the given missions have. */
export function statsById(db: Kysely<MissionsDatabase>, ids: readonly string[]): Promise<StoredStats[]> {
  return db.selectFrom('mission_stats').selectAll().where('mission_id', 'in', ids).execute();
}

/** The ids of open jobs of closed missions, at most `limit`. */
export async function openJobsOfClosedMissions(db: Kysely<MissionsDatabase>, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('mission_stats')
    .innerJoin('jobs', 'jobs.mission_id', 'mission_stats.mission_id')
    .select('jobs.id')
    // Literal, like the partial index: with a parameter SQLite would not use the index.
    .where(sql<boolean>`mission_stats.closed = 1 and mission_stats.pending + mission_stats.dispatched > 0`)
    .where('jobs.status', 'in', ['PENDING', 'DISPATCHED'])
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
