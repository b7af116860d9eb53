import { accept, refuse, unreachable, type Decider, type Decision } from './decider.js';
import type { Fact } from './event.js';
import type { JobId, MissionId, TaskId } from './id.js';
import type { Json, JsonObject } from './json.js';
import type { MissionState } from './mission.js';
import { newerEvent } from './newer-event.js';
import { alreadyExists, notFound, type Problem } from './problem.js';
import { Checks, LIMITS } from './rules.js';
import { missionBars, type TaskState } from './task.js';

/**
 * The life of a job:
 *
 *     PENDING ──dispatch──▶ DISPATCHED ──complete──▶ COMPLETED
 *        ▲                      │ └──────cancel────▶ CANCELLED   (from PENDING too)
 *        └──retryable failure,──┤
 *           attempts remain     └──failure─────────▶ FAILED
 *
 * Each dispatch is an attempt with a number, from 1, and a lease. Only the worker of the current attempt may complete or
 * fail it; an expired lease is a retryable failure that the lease process records.
 */
export const JOB_STATUSES = ['PENDING', 'DISPATCHED', 'COMPLETED', 'FAILED', 'CANCELLED'] as const;
/** The status of a job. */
export type JobStatus = (typeof JOB_STATUSES)[number];

/** How many attempts a job has by default. */
export const DEFAULT_MAX_ATTEMPTS = 3;

/** The failure reason recorded when a worker's lease has run out. */
export const LEASE_EXPIRED = 'LEASE_EXPIRED';

type JobRef = { readonly jobId: JobId; readonly taskId: TaskId; readonly missionId: MissionId };

type JobFields = {
  readonly kind: string;
  readonly payload: JsonObject;
  /** A job of higher priority is claimed sooner; −1000 to 1000. */
  readonly priority: number;
  readonly maxAttempts: number;
};

/** What can happen to a job. */
export type JobFact =
  | Fact<'JobCreated', JobRef & JobFields>
  | Fact<
      'JobDispatched',
      JobRef & { readonly worker: string; readonly attempt: number; readonly leaseExpiresAt: string }
    >
  | Fact<
      'JobCompleted',
      JobRef & { readonly worker: string; readonly attempt: number; readonly result: Json; readonly cost?: number }
    >
  | Fact<
      'JobFailed',
      JobRef & {
        readonly attempt: number;
        readonly reason: string;
        readonly message: string;
        readonly retryable: boolean;
      }
    >
  | Fact<'JobCancelled', JobRef & { readonly reason: string }>;

/** The commands on a job. */
export type JobCommand =
  | ({
      readonly type: 'CreateJob';
      readonly jobId: JobId;
      readonly taskId: TaskId;
      /** The task and its mission, as read before the command. */
      readonly task: TaskState;
      readonly mission: MissionState;
    } & JobFields)
  | {
      readonly type: 'DispatchJob';
      readonly jobId: JobId;
      readonly worker: string;
      /** Length of the lease in seconds, from `at`. */
      readonly leaseSeconds: number;
      readonly at: string;
    }
  | {
      readonly type: 'CompleteJob';
      readonly jobId: JobId;
      readonly worker: string;
      readonly attempt: number;
      readonly result: Json;
      readonly cost?: number;
    }
  | {
      readonly type: 'FailJob';
      readonly jobId: JobId;
      readonly worker: string;
      readonly attempt: number;
      readonly reason: string;
      readonly message: string;
      readonly retryable: boolean;
    }
  | { readonly type: 'ExpireLease'; readonly jobId: JobId; readonly attempt: number; readonly at: string }
  | { readonly type: 'CancelJob'; readonly jobId: JobId; readonly reason: string };

/** The state of a job, folded from its events; ABSENT before it is created. */
export type JobState =
  | { readonly status: 'ABSENT' }
  | (JobRef &
      JobFields & {
        readonly status: JobStatus;
        /** How many times it was dispatched; the number of the current attempt while DISPATCHED. */
        readonly attempt: number;
        readonly worker: string | null;
        readonly leaseExpiresAt: string | null;
        readonly result: Json;
        readonly cost: number | null;
        /** Why the last attempt failed, or why it was cancelled. */
        readonly failure: { readonly reason: string; readonly message: string } | null;
        readonly createdAt: string;
        readonly updatedAt: string;
      });

/** A job that exists. */
export type Job = Exclude<JobState, { status: 'ABSENT' }>;

/** Jobs: units of work that workers claim, one attempt at a time. */
export const job: Decider<JobCommand, JobFact, JobState> = {
  initial: { status: 'ABSENT' },

  decide(state, command) {
    const problem = check(command);
    if (problem !== undefined) return refuse(problem);
    if (command.type === 'CreateJob') return create(state, command);
    if (state.status === 'ABSENT') return refuse(notFound('Job', command.jobId));
    const ref = { jobId: state.jobId, taskId: state.taskId, missionId: state.missionId };
    switch (command.type) {
      case 'DispatchJob': {
        if (state.status !== 'PENDING') return refuse(notPending(state));
        const { worker, leaseSeconds, at } = command;
        const leaseExpiresAt = new Date(Date.parse(at) + leaseSeconds * 1000).toISOString();
        return accept({ type: 'JobDispatched', data: { ...ref, worker, attempt: state.attempt + 1, leaseExpiresAt } });
      }
      case 'CompleteJob': {
        const stale = attemptProblem(state, command);
        if (stale !== undefined) return refuse(stale);
        const { worker, attempt, result, cost } = command;
        const data = { ...ref, worker, attempt, result, ...(cost === undefined ? {} : { cost }) };
        return accept({ type: 'JobCompleted', data });
      }
      case 'FailJob': {
        const stale = attemptProblem(state, command);
        if (stale !== undefined) return refuse(stale);
        const { attempt, reason, message, retryable } = command;
        return accept({ type: 'JobFailed', data: { ...ref, attempt, reason, message, retryable } });
      }
      case 'ExpireLease': {
        const current = state.status === 'DISPATCHED' && state.attempt === command.attempt;
        if (!current || state.leaseExpiresAt === null || command.at < state.leaseExpiresAt) return accept();
        const message = `The lease of worker '${state.worker ?? ''}' ran out at ${state.leaseExpiresAt}.`;
        const failure = { attempt: state.attempt, reason: LEASE_EXPIRED, message, retryable: true };
        return accept({ type: 'JobFailed', data: { ...ref, ...failure } });
      }
      case 'CancelJob':
        if (isFinished(state.status)) return refuse(finished(state));
        return accept({ type: 'JobCancelled', data: { ...ref, reason: command.reason } });
      default:
        return unreachable(command);
    }
  },

  evolve(state, event) {
    const at = event.metadata.at;
    if (event.type === 'JobCreated') {
      if (state.status !== 'ABSENT') return state;
      const { jobId, taskId, missionId, kind, payload, priority, maxAttempts } = event.data;
      const fields = { jobId, taskId, missionId, kind, payload, priority, maxAttempts };
      const idle = { attempt: 0, worker: null, leaseExpiresAt: null, result: null, cost: null, failure: null };
      return { status: 'PENDING', ...fields, ...idle, createdAt: at, updatedAt: at };
    }
    if (state.status === 'ABSENT' || isFinished(state.status)) return state;
    switch (event.type) {
      case 'JobDispatched': {
        const { worker, attempt, leaseExpiresAt } = event.data;
        return { ...state, status: 'DISPATCHED', worker, attempt, leaseExpiresAt, updatedAt: at };
      }
      case 'JobCompleted': {
        const { result, cost } = event.data;
        const end = { leaseExpiresAt: null, result, cost: cost ?? null, failure: null, updatedAt: at };
        return { ...state, status: 'COMPLETED', ...end };
      }
      case 'JobFailed': {
        const { attempt, reason, message, retryable } = event.data;
        const status = statusAfterFailure(attempt, state.maxAttempts, retryable);
        const worker = status === 'PENDING' ? null : state.worker;
        return { ...state, status, worker, leaseExpiresAt: null, failure: { reason, message }, updatedAt: at };
      }
      case 'JobCancelled': {
        const failure = { reason: event.data.reason, message: '' };
        return { ...state, status: 'CANCELLED', leaseExpiresAt: null, failure, updatedAt: at };
      }
      default:
        return newerEvent(event);
    }
  },
};

/** The status of a job after a failed attempt: PENDING again while attempts remain and the failure is retryable. */
export function statusAfterFailure(attempt: number, maxAttempts: number, retryable: boolean): 'PENDING' | 'FAILED' {
  return retryable && attempt < maxAttempts ? 'PENDING' : 'FAILED';
}

function create(state: JobState, command: Extract<JobCommand, { type: 'CreateJob' }>): Decision<JobFact> {
  if (state.status !== 'ABSENT') return refuse(alreadyExists('Job', command.jobId));
  const { task, mission } = command;
  if (task.status === 'ABSENT') return refuse(notFound('Task', command.taskId));
  const barred = missionBars(mission, task.missionId);
  if (barred !== undefined) return refuse(barred);
  const { jobId, taskId, kind, payload, priority, maxAttempts } = command;
  const data = { jobId, taskId, missionId: task.missionId, kind, payload, priority, maxAttempts };
  return accept({ type: 'JobCreated', data });
}

/** Whether a status is final: the job has ended and cannot change. */
export function isFinished(status: JobStatus): boolean {
  return status === 'COMPLETED' || status === 'FAILED' || status === 'CANCELLED';
}

/** Refuses an answer from any worker that does not hold the current attempt. */
function attemptProblem(state: Job, command: { worker: string; attempt: number }): Problem | undefined {
  const { jobId, status, attempt, worker } = state;
  if (status === 'DISPATCHED' && attempt === command.attempt && worker === command.worker) return undefined;
  if (isFinished(status) && attempt === command.attempt && worker === command.worker) return finished(state);
  const now = status === 'DISPATCHED' ? `attempt ${String(attempt)} is held by '${worker ?? ''}'` : `it is ${status}`;
  return {
    code: 'STALE_ATTEMPT',
    message: `Worker '${command.worker}' does not hold attempt ${String(command.attempt)} of job '${jobId}': ${now}. Drop this result and claim again.`,
    jobId,
    attempt: command.attempt,
    currentAttempt: attempt,
  };
}

function notPending({ jobId, status }: Job): Problem {
  return {
    code: 'JOB_NOT_PENDING',
    message: `Job '${jobId}' is ${status}; only a PENDING job can be dispatched.`,
    jobId,
    status,
  };
}

function finished({ jobId, status }: Job): Problem {
  return { code: 'JOB_FINISHED', message: `Job '${jobId}' is already ${status} and cannot change.`, jobId, status };
}

function check(command: JobCommand): Problem | undefined {
  const checks = new Checks().id('id', command.jobId);
  switch (command.type) {
    case 'CreateJob':
      return checks
        .id('taskId', command.taskId)
        .text('kind', command.kind, 1, LIMITS.kindLength)
        .json('payload', command.payload, LIMITS.payloadBytes)
        .integer('priority', command.priority, -LIMITS.priority, LIMITS.priority)
        .integer('maxAttempts', command.maxAttempts, 1, LIMITS.attempts)
        .problem();
    case 'DispatchJob':
      return checks
        .text('worker', command.worker, 1, LIMITS.workerLength)
        .integer('leaseSeconds', command.leaseSeconds, 1, LIMITS.leaseSeconds)
        .problem();
    case 'CompleteJob':
      if (command.cost !== undefined) checks.amount('cost', command.cost);
      return checks
        .text('worker', command.worker, 1, LIMITS.workerLength)
        .json('result', command.result, LIMITS.payloadBytes)
        .problem();
    case 'FailJob':
      return checks
        .text('worker', command.worker, 1, LIMITS.workerLength)
        .text('reason', command.reason, 1, LIMITS.reasonLength)
        .text('message', command.message, 0, LIMITS.messageLength)
        .problem();
    case 'CancelJob':
      return checks.text('reason', command.reason, 0, LIMITS.reasonLength).problem();
    case 'ExpireLease':
      return checks.problem();
    default:
      return unreachable(command);
  }
}
