import { z } from 'zod';
import type { Decider, Recorded } from '../../domain/decider.js';
import type { Fact } from '../../domain/event.js';
import { DEFAULT_MAX_ATTEMPTS, job, type JobCommand, type JobFact } from '../../domain/job.js';
import { isJsonObject, type Json, type JsonObject } from '../../domain/json.js';
import { mission, type MissionFact, type MissionState } from '../../domain/mission.js';
import { LIMITS } from '../../domain/rules.js';
import { task, type Task, type TaskFact } from '../../domain/task.js';
import { DEFAULT_KIND } from '../commands/commands.js';
import { LineError, reasonOf } from './import-report.js';
import { timestamp } from './timestamp.js';

/** The worker recorded for jobs that were done or failed before the import. */
const WORKER = 'prototype';
/** The lease of an attempt that ended before the import, in seconds. */
const LEASE_SECONDS = 1;

const text = z.string('must be text');
/** A time without a zone is UTC, as in the prototype. */
const time = z.iso
  .datetime({ offset: true, local: true, error: 'must be a time such as 2021-03-06T15:51:20Z' })
  .transform((value) => new Date(/(Z|[+-]\d\d:\d\d)$/.test(value) ? value : `${value}Z`).toISOString())
  // In UTC, the first and last hours that four-digit years can express may fall into a year that they cannot.
  .pipe(timestamp);
const object = z.custom<JsonObject>(isJsonObject, 'must be a JSON object');

/** The prototype's record of a mission. */
export const legacyMission = z.object({
  id: text,
  title: text,
  description: text.default(''),
  metadata: object.default({}),
  tags: z.array(text, 'must be a list of texts').default([]),
  created_at: time,
});

/** The prototype's record of a task. */
export const legacyTask = z.object({
  id: text,
  mission_id: text,
  name: text,
  description: text.default(''),
  kind: text.default(DEFAULT_KIND),
  params: object.default({}),
  created_at: time,
});

/** The prototype's record of a job. */
export const legacyJob = z.object({
  id: text,
  task_id: text,
  payload: object.default({}),
  status: z.enum(['pending', 'done', 'failed'], 'must be pending, done or failed'),
  result: z.custom<Json>().default(null),
  created_at: time,
  updated_at: time.optional(),
});

/** A fact with the time at which it became true. */
export interface DatedFact {
  readonly at: string;
  readonly fact: Fact<string, object>;
}

/** Validates a record. @throws LineError naming the fields that are wrong */
export function readRecord<V>(schema: z.ZodType<V>, value: unknown): V {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new LineError(reasonOf(result.error, 'line'));
}

/** The facts that a mission's record implies. @throws LineError when it breaks a rule of missions */
export function missionFacts(record: z.output<typeof legacyMission>): DatedFact[] {
  const { id: missionId, title, description, metadata, tags, created_at: at } = record;
  return history(mission, [[at, { type: 'CreateMission', missionId, title, description, metadata, tags }]]);
}

/** The facts that a task's record implies. @throws LineError when it breaks a rule of tasks */
export function taskFacts(record: z.output<typeof legacyTask>, parent: MissionState): DatedFact[] {
  const { id: taskId, mission_id: missionId, name, description, kind, params, created_at: at } = record;
  const fields = { taskId, missionId, mission: parent, name, description, kind, params };
  return history(task, [[at, { type: 'CreateTask', ...fields }]]);
}

/**
 * The facts that a job's record implies: it was created and, if it is done or failed, dispatched and answered.
 * @throws LineError when it breaks a rule of jobs
 */
export function jobFacts(record: z.output<typeof legacyJob>, parent: Task, grandparent: MissionState): DatedFact[] {
  const { id: jobId, task_id: taskId, payload, status, result, created_at: createdAt } = record;
  const endedAt = record.updated_at ?? createdAt;
  const create: JobCommand = {
    type: 'CreateJob',
    jobId,
    taskId,
    task: parent,
    mission: grandparent,
    kind: parent.kind,
    payload,
    priority: 0,
    maxAttempts: DEFAULT_MAX_ATTEMPTS,
  };
  const steps: [string, JobCommand][] = [[createdAt, create]];
  if (status !== 'pending') {
    steps.push([endedAt, { type: 'DispatchJob', jobId, worker: WORKER, leaseSeconds: LEASE_SECONDS, at: endedAt }]);
    const answer = { jobId, worker: WORKER, attempt: 1 };
    steps.push([
      endedAt,
      status === 'done'
        ? { type: 'CompleteJob', ...answer, result }
        : { type: 'FailJob', ...answer, reason: 'FAILED', message: failureMessage(result), retryable: false },
    ]);
  }
  return history(job, steps);
}

/** The facts of several commands, each decided on the state after the ones before. */
function history<C, F extends MissionFact | TaskFact | JobFact, S>(
  decider: Decider<C, F, S>,
  steps: readonly (readonly [at: string, command: C])[],
): DatedFact[] {
  let state = decider.initial;
  return steps.flatMap(([at, command]) => {
    const decision = decider.decide(state, command);
    if (!decision.accepted) throw new LineError(decision.problem.message);
    for (const fact of decision.facts) {
      const metadata = { at, actor: '', correlationId: '', causationId: '', schemaVersion: 1 };
      state = decider.evolve(state, { ...fact, metadata } as unknown as Recorded<F>);
    }
    return decision.facts.map((fact) => ({ at, fact }));
  });
}

/** The failure message of a failed job, cut to the longest allowed message, but not inside a surrogate pair. */
function failureMessage(result: Json): string {
  if (result === null) return '';
  const message = typeof result === 'string' ? result : JSON.stringify(result);
  if (message.length <= LIMITS.messageLength) return message;
  return message.slice(0, LIMITS.messageLength).replace(/[\uD800-\uDBFF]$/, '');
}
