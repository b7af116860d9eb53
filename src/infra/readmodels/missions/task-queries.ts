import type { Kysely } from 'kysely';
import { readPage, type Page, type PageRequest } from '../page.js';
import { taskColumns } from './columns.js';
import type { MissionsDatabase, MissionsSource, StoredTask } from './database.js';

/** A page of the tasks of a mission. @throws RequestError BAD_USER_INPUT, CURSOR_INVALID */
export async function taskPage<N>(
  { db, log }: MissionsSource,
  missionId: string,
  page: PageRequest,
  toNode: (row: StoredTask) => N,
): Promise<Page<N>> {
  const query = db.selectFrom('tasks').select(taskColumns).where('mission_id', '=', missionId);
  return readPage(query, { logId: log.logId, table: 'tasks' }, page, toNode);
}

/** The tasks with the given ids, in no particular order. */
export function tasksById(db: Kysely<MissionsDatabase>, ids: readonly string[]): Promise<StoredTask[]> {
  return db.selectFrom('tasks').select(taskColumns).where('id', 'in', ids).execute();
}
