import { sql, type Kysely } from 'kysely';
import { missionColumns } from '../columns.js';
import type { MissionsDatabase } from './database.js';
import { readPage, type Page, type PageRequest, type PageSource } from '../../graphql/kit/connection.js';
import { checkLists } from '../../graphql/kit/inputs.js';
import type { StoredMission } from '../../graphql/kit/loaders.js';
import type { MissionFilter } from '../../graphql/missions/mission-types.js';

/** A page of the missions that a filter asks for. @throws GraphQLError BAD_USER_INPUT, CURSOR_INVALID */
export async function missionPage<N>(
  { db, log }: PageSource,
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
