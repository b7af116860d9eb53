import type { EventMetadata, RecordedEvent } from '../domain/event.js';
import { isFinished, type JobFact, type JobStatus, statusAfterFailure } from '../domain/job.js';
import type { MissionFact } from '../domain/mission.js';
import type { TaskFact } from '../domain/task.js';
import { defineProjection, type RowOf, type Rows } from './projection.js';

const text = { type: 'text' } as const;
const optionalText = { type: 'text', nullable: true } as const;
const integer = { type: 'integer' } as const;
const fixedText = { type: 'text', fixed: true } as const;
const fixedInteger = { type: 'integer', fixed: true } as const;
const position = { type: 'position', local: true } as const;

/**
 * `missions`, `tasks` and `jobs` have one row per aggregate, changed only by the events of its own stream, so that a
 * subscription can resume after a row's position. Totals over several streams are kept separately, in
 * `mission_stats`. JSON columns hold JSON text; times are ISO 8601.
 */
const tables = {
  missions: {
    key: 'id',
    columns: {
      id: fixedText,
      title: text,
      description: text,
      metadata: text,
      tags: text,
      status: text,
      closed_reason: optionalText,
      created_at: fixedText,
      updated_at: text,
      revision: integer,
      position,
    },
    indexes: {
      by_created: { columns: ['created_at', 'id'] },
      by_status: { columns: ['status', 'created_at', 'id'] },
      by_position: { columns: ['position'] },
    },
  },
  tasks: {
    key: 'id',
    columns: {
      id: fixedText,
      mission_id: fixedText,
      name: text,
      description: text,
      kind: text,
      params: text,
      created_at: fixedText,
      updated_at: text,
      revision: integer,
      position,
    },
    indexes: {
      by_mission: { columns: ['mission_id', 'created_at', 'id'] },
    },
  },
  jobs: {
    key: 'id',
    columns: {
      id: fixedText,
      task_id: fixedText,
      mission_id: fixedText,
      kind: fixedText,
      payload: fixedText,
      priority: fixedInteger,
      max_attempts: fixedInteger,
      created_at: fixedText,
      status: text,
      attempt: integer,
      worker: optionalText,
      lease_expires_at: optionalText,
      result: text,
      cost: { type: 'real', nullable: true },
      failure_reason: optionalText,
      failure_message: optionalText,
      claim_key: optionalText,
      claim_hash: optionalText,
      updated_at: text,
      revision: integer,
      position,
    },
    indexes: {
      by_created: { columns: ['created_at', 'id'] },
      by_mission: { columns: ['mission_id', 'created_at', 'id'] },
      by_task: { columns: ['task_id', 'created_at', 'id'] },
      by_position: { columns: ['position'] },
      queue: { columns: ['priority DESC', 'created_at', 'id'], where: "status = 'PENDING'" },
      leases: { columns: ['lease_expires_at'], where: "status = 'DISPATCHED'" },
      claims: { columns: ['claim_key'], where: 'claim_key IS NOT NULL' },
    },
  },
  mission_stats: {
    key: 'mission_id',
    columns: {
      mission_id: fixedText,
      closed: integer,
      tasks: integer,
      pending: integer,
      dispatched: integer,
      completed: integer,
      failed: integer,
      cancelled: integer,
    },
    indexes: {
      closed_with_open_jobs: { columns: ['mission_id'], where: 'closed = 1 AND pending + dispatched > 0' },
    },
  },
} as const;

/** The tables of the `missions` projection. */
export type MissionsTables = typeof tables;
/** A row of `missions`. */
export type MissionRow = RowOf<MissionsTables['missions']>;
/** A row of `tasks`. */
export type TaskRow = RowOf<MissionsTables['tasks']>;
/** A row of `jobs`. */
export type JobRow = RowOf<MissionsTables['jobs']>;
/** A row of `mission_stats`: how many tasks, and jobs in each status, a mission has. */
export type MissionStatsRow = RowOf<MissionsTables['mission_stats']>;

type Event<T extends (MissionFact | TaskFact | JobFact)['type']> = RecordedEvent<
  T,
  Extract<MissionFact | TaskFact | JobFact, { type: T }>['data']
>;

/** Missions, tasks and jobs as they are now. */
export const missions = defineProjection<MissionsTables, MissionFact | TaskFact | JobFact>({
  name: 'missions',
  version: 1,
  categories: ['mission', 'task', 'job'],
  tables,
  handlers: {
    MissionCreated: {
      touches: ({ data }) => [['mission_stats', data.missionId]],
      fold(rows, event) {
        const { missionId, title, description, metadata, tags } = event.data;
        const at = event.metadata.at;
        rows.put('missions', {
          id: missionId,
          title,
          description,
          metadata: JSON.stringify(metadata),
          tags: JSON.stringify(tags),
          status: 'OPEN',
          closed_reason: null,
          created_at: at,
          ...touched(event),
        });
        // Tasks and jobs of a mission whose creation follows should not occur; if they do, their counts are kept.
        rows.put('mission_stats', rows.get('mission_stats', missionId) ?? noStats(missionId));
      },
    },
    MissionUpdated: {
      touches: ({ data }) => [['missions', data.missionId]],
      fold(rows, event) {
        const { missionId, title, description, metadata, tags } = event.data;
        const row = existing(rows.get('missions', missionId), 'mission', missionId);
        if (row.status !== 'OPEN') return;
        rows.put('missions', {
          ...row,
          title: title ?? row.title,
          description: description ?? row.description,
          metadata: metadata === undefined ? row.metadata : JSON.stringify(metadata),
          tags: tags === undefined ? row.tags : JSON.stringify(tags),
          ...touched(event),
        });
      },
    },
    MissionClosed: {
      touches: ({ data }) => [
        ['missions', data.missionId],
        ['mission_stats', data.missionId],
      ],
      fold(rows, event) {
        const { missionId, outcome, reason } = event.data;
        const row = existing(rows.get('missions', missionId), 'mission', missionId);
        if (row.status !== 'OPEN') return;
        rows.put('missions', { ...row, status: outcome, closed_reason: reason, ...touched(event) });
        rows.put('mission_stats', { ...statsOf(rows, missionId), closed: 1 });
      },
    },
    TaskCreated: {
      touches: ({ data }) => [['mission_stats', data.missionId]],
      fold(rows, event) {
        const { taskId, missionId, name, description, kind, params } = event.data;
        rows.put('tasks', {
          id: taskId,
          mission_id: missionId,
          name,
          description,
          kind,
          params: JSON.stringify(params),
          created_at: event.metadata.at,
          ...touched(event),
        });
        const stats = statsOf(rows, missionId);
        rows.put('mission_stats', { ...stats, tasks: stats.tasks + 1 });
      },
    },
    TaskUpdated: {
      touches: ({ data }) => [['tasks', data.taskId]],
      fold(rows, event) {
        const { taskId, name, description, kind, params } = event.data;
        const row = existing(rows.get('tasks', taskId), 'task', taskId);
        rows.put('tasks', {
          ...row,
          name: name ?? row.name,
          description: description ?? row.description,
          kind: kind ?? row.kind,
          params: params === undefined ? row.params : JSON.stringify(params),
          ...touched(event),
        });
      },
    },
    JobCreated: {
      touches: ({ data }) => [['mission_stats', data.missionId]],
      fold(rows, event) {
        const { jobId, taskId, missionId, kind, payload, priority, maxAttempts } = event.data;
        rows.put('jobs', {
          id: jobId,
          task_id: taskId,
          mission_id: missionId,
          kind,
          payload: JSON.stringify(payload),
          priority,
          max_attempts: maxAttempts,
          created_at: event.metadata.at,
          status: 'PENDING',
          attempt: 0,
          worker: null,
          lease_expires_at: null,
          result: 'null',
          cost: null,
          failure_reason: null,
          failure_message: null,
          claim_key: null,
          claim_hash: null,
          ...touched(event),
        });
        count(rows, missionId, undefined, 'PENDING');
      },
    },
    JobDispatched: {
      touches: jobAndStats,
      fold(rows, event) {
        const { worker, attempt, leaseExpiresAt } = event.data;
        const key = claimKey(event.metadata);
        changeJob(rows, event, {
          status: 'DISPATCHED',
          worker,
          attempt,
          lease_expires_at: leaseExpiresAt,
          claim_key: key?.key ?? null,
          claim_hash: key?.hash ?? null,
        });
      },
    },
    JobCompleted: {
      touches: jobAndStats,
      fold(rows, event) {
        const { result, cost } = event.data;
        changeJob(rows, event, {
          status: 'COMPLETED',
          lease_expires_at: null,
          result: JSON.stringify(result),
          cost: cost ?? null,
          failure_reason: null,
          failure_message: null,
        });
      },
    },
    JobFailed: {
      touches: jobAndStats,
      fold(rows, event) {
        const { jobId, attempt, reason, message, retryable } = event.data;
        const row = existing(rows.get('jobs', jobId), 'job', jobId);
        const status = statusAfterFailure(attempt, row.max_attempts, retryable);
        const released = status === 'PENDING' ? { worker: null, claim_key: null, claim_hash: null } : {};
        changeJob(rows, event, {
          status,
          ...released,
          lease_expires_at: null,
          failure_reason: reason,
          failure_message: message,
        });
      },
    },
    JobCancelled: {
      touches: jobAndStats,
      fold(rows, event) {
        changeJob(rows, event, {
          status: 'CANCELLED',
          lease_expires_at: null,
          failure_reason: event.data.reason,
          failure_message: '',
        });
      },
    },
  },
});

/** The value of `jobs.claim_key` for a caller's idempotency key, with the hash of the request; undefined without a key. */
export function claimKey({ actor, idempotency }: Pick<EventMetadata, 'actor' | 'idempotency'>) {
  return idempotency === undefined ? undefined : { key: `${actor} ${idempotency.key}`, hash: idempotency.hash };
}

function jobAndStats({ data }: Event<'JobDispatched' | 'JobCompleted' | 'JobFailed' | 'JobCancelled'>) {
  return [
    ['jobs', data.jobId],
    ['mission_stats', data.missionId],
  ] as const;
}

function changeJob(
  rows: Rows<MissionsTables>,
  event: Event<'JobDispatched' | 'JobCompleted' | 'JobFailed' | 'JobCancelled'>,
  changes: Partial<JobRow> & { readonly status: JobStatus },
): void {
  const row = existing(rows.get('jobs', event.data.jobId), 'job', event.data.jobId);
  if (isFinished(row.status as JobStatus)) return;
  rows.put('jobs', { ...row, ...changes, ...touched(event) });
  count(rows, row.mission_id, row.status as JobStatus, changes.status);
}

const COUNTERS = {
  PENDING: 'pending',
  DISPATCHED: 'dispatched',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
} as const satisfies Record<JobStatus, keyof MissionStatsRow>;

function count(rows: Rows<MissionsTables>, missionId: string, from: JobStatus | undefined, to: JobStatus): void {
  if (from === to) return;
  const stats = { ...statsOf(rows, missionId) };
  if (from !== undefined) stats[COUNTERS[from]] -= 1;
  stats[COUNTERS[to]] += 1;
  rows.put('mission_stats', stats);
}

function statsOf(rows: Rows<MissionsTables>, missionId: string): Mutable<MissionStatsRow> {
  return rows.get('mission_stats', missionId) ?? noStats(missionId);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function noStats(missionId: string): MissionStatsRow {
  return {
    mission_id: missionId,
    closed: 0,
    tasks: 0,
    pending: 0,
    dispatched: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
  };
}

/** The columns that every event sets on the row of its stream. */
function touched({ metadata, revision, position: place }: RecordedEvent<string, object>) {
  return { updated_at: metadata.at, revision: Number(revision), position: place };
}

function existing<R>(row: R | undefined, kind: string, id: string): R {
  if (row === undefined) throw new Error(`the log changes ${kind} '${id}' before it creates it`);
  return row;
}
