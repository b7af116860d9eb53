import { sql, type AliasedRawBuilder } from 'kysely';
import type { MissionsDatabase } from './database.js';

/** A position as text, because SQLite's integers may exceed the safe integers of JavaScript. */
const position = (table: keyof MissionsDatabase): AliasedRawBuilder<string, 'position'> =>
  sql<string>`cast(${sql.ref(`${table}.position`)} as text)`.as('position');

/** The columns of a stored mission, for a SELECT. */
export const missionColumns = [
  'id',
  'title',
  'description',
  'metadata',
  'tags',
  'status',
  'closed_reason',
  'created_at',
  'updated_at',
  'revision',
  position('missions'),
] as const;

/** The columns of a stored task, for a SELECT. */
export const taskColumns = [
  'id',
  'mission_id',
  'name',
  'description',
  'kind',
  'params',
  'created_at',
  'updated_at',
  'revision',
  position('tasks'),
] as const;

/** The columns of a stored job, for a SELECT. */
export const jobColumns = [
  'id',
  'task_id',
  'mission_id',
  'kind',
  'payload',
  'priority',
  'max_attempts',
  'created_at',
  'status',
  'attempt',
  'worker',
  'lease_expires_at',
  'result',
  'cost',
  'failure_reason',
  'failure_message',
  'claim_key',
  'claim_hash',
  'updated_at',
  'revision',
  position('jobs'),
] as const;
