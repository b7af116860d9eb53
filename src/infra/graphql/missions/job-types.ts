import { Field, Float, ID, InputType, Int, ObjectType } from 'type-graphql';
import type { Job as JobData, JobStatus } from '../../../domain/job.js';
import type { Json } from '../../../domain/json.js';
import type { StoredJob } from '../../readmodels/missions/database.js';
import type * as Queries from '../../readmodels/missions/job-queries.js';
import type { CoreServices } from '../../services/core-services.js';
import { connectionOf } from '../kit/connection.js';
import { ChangeInput, ChangePayload, Entity, Node, RepeatableInput } from '../kit/entity.js';
import { enumOf } from '../kit/enum.js';
import { make } from '../kit/make.js';
import { resultOf, type Changed } from '../kit/mutation-result.js';
import {
  ConcurrencyConflict,
  IdempotencyMismatch,
  InvalidInput,
  JobIsFinished,
  MissionIsClosed,
  NotFound,
  StaleAttempt,
} from '../kit/problems.js';
import { DateTimeScalar, JsonScalar, PositionScalar } from '../kit/scalars.js';

const JobStatusEnum = enumOf<JobStatus>({
  name: 'JobStatus',
  description: 'A job has one of these statuses.',
  values: {
    PENDING: 'The job waits for a worker.',
    DISPATCHED: 'A worker holds the job until its lease expires.',
    COMPLETED: 'The job is done; this is final.',
    FAILED: 'The job has failed and is not tried again; this is final.',
    CANCELLED: 'The job was cancelled; this is final.',
  },
});

@ObjectType({ description: 'This object shows why the last attempt failed, or why the job was cancelled.' })
export class JobFailure {
  @Field(() => String, {
    description:
      'This is a short reason; it is `LEASE_EXPIRED` when the worker did not report before its lease expired.',
  })
  readonly reason!: string;

  @Field(() => String, {
    description: 'This text describes what happened, in at most 10,000 characters; it may be empty.',
  })
  readonly message!: string;
}

@ObjectType({ implements: Node, description: 'A Job is a unit of work that one worker at a time holds.' })
export class Job extends Entity {
  @Field(() => ID, { description: 'This identifies the task of the job.' })
  readonly taskId!: string;

  @Field(() => ID, { description: 'This identifies the mission of the job.' })
  readonly missionId!: string;

  @Field(() => String, { description: 'This is the kind of work, 1–64 characters.' })
  readonly kind!: string;

  @Field(() => JsonScalar, {
    description: 'This JSON object of at most 256 KiB is for the worker; Sheratan does not interpret it.',
  })
  readonly payload!: Json;

  @Field(() => Int, { description: 'Jobs with a higher priority are claimed first; it is −1000 to 1000.' })
  readonly priority!: number;

  @Field(() => Int, { description: 'The job is FAILED when this many attempts have failed, 1–100.' })
  readonly maxAttempts!: number;

  @Field(() => JobStatusEnum, { description: 'The job has this status.' })
  readonly status!: JobStatus;

  @Field(() => Int, {
    description:
      'The job was dispatched this many times; while it is DISPATCHED, this is the number of the current attempt.',
  })
  readonly attempt!: number;

  @Field(() => String, {
    nullable: true,
    description:
      'This names the worker that holds the job, or held it last. It is null while the job is PENDING, and when it was cancelled while PENDING.',
  })
  readonly worker!: string | null;

  @Field(() => DateTimeScalar, {
    nullable: true,
    description: 'The lease of the worker expires at this time; it is null unless the job is DISPATCHED.',
  })
  readonly leaseExpiresAt!: string | null;

  @Field(() => JsonScalar, {
    nullable: true,
    description:
      'This is the result that the worker reported, at most 256 KiB; it is null unless the job is COMPLETED.',
  })
  readonly result!: Json;

  @Field(() => Float, {
    nullable: true,
    description:
      'This is the cost that the worker reported, at least 0. Sheratan does not interpret it; it is null when none was reported.',
  })
  readonly cost!: number | null;

  @Field(() => JobFailure, {
    nullable: true,
    description: 'This shows why the last attempt failed, or why the job was cancelled; otherwise it is null.',
  })
  readonly failure!: JobFailure | null;
}

/** The payload of a mutation of a job. */
@ObjectType()
export abstract class JobPayload extends ChangePayload {
  @Field(() => Job, { description: 'This is the job after the mutation.' })
  readonly job!: Job;
}

@ObjectType({ description: 'The job was created.' })
export class CreateJobPayload extends JobPayload {}

@ObjectType({ description: 'The job was completed.' })
export class CompleteJobPayload extends JobPayload {}

@ObjectType({ description: 'The failure of the attempt was recorded.' })
export class FailJobPayload extends JobPayload {}

@ObjectType({ description: 'The job was cancelled.' })
export class CancelJobPayload extends JobPayload {}

@ObjectType({ description: 'The worker now holds the claimed jobs.' })
export class ClaimJobsPayload extends ChangePayload {
  @Field(() => [Job], { description: 'These jobs were claimed; the list is empty when no job waits.' })
  readonly jobs!: readonly Job[];
}

@InputType({ description: 'This input describes the job to create.' })
export class CreateJobInput extends RepeatableInput {
  @Field(() => ID, { description: 'The job belongs to the task with this identifier; its mission must be OPEN.' })
  readonly taskId!: string;

  @Field(() => String, {
    nullable: true,
    description: 'The kind of work has 1–64 characters. The default is the kind of the task.',
  })
  readonly kind?: string | null;

  @Field(() => JsonScalar, {
    nullable: true,
    description: 'The payload is a JSON object of at most 256 KiB. The default is an empty object.',
  })
  readonly payload?: Json;

  @Field(() => Int, {
    nullable: true,
    description: 'Jobs with a higher priority are claimed first; it is −1000 to 1000. The default is 0.',
  })
  readonly priority?: number | null;

  @Field(() => Int, {
    nullable: true,
    description: 'The job is FAILED when this many attempts have failed, 1–100. The default is 3.',
  })
  readonly maxAttempts?: number | null;
}

@InputType({
  description: 'This input requests jobs for a worker. Jobs with a higher priority are claimed first, then older jobs.',
})
export class ClaimJobsInput {
  @Field(() => String, { description: 'This names the worker, in 1–128 characters.' })
  readonly worker!: string;

  @Field(() => [String], {
    nullable: true,
    description: 'The worker can do these 1–100 kinds of work, of 1–64 characters each. The default is any kind.',
  })
  readonly kinds?: readonly string[] | null;

  @Field(() => Int, { defaultValue: 1, description: 'At most this many jobs are claimed, 1–100. The default is 1.' })
  readonly limit!: number;

  @Field(() => Int, {
    defaultValue: 300,
    description:
      'The lease of each job has this length in seconds, 1–86,400. The attempt fails when the lease expires. The default is 300.',
  })
  readonly leaseSeconds!: number;

  @Field(() => String, {
    nullable: true,
    description:
      'A claim that is repeated with the same key (1–200 characters) and the same input returns the jobs that it claimed before and that the worker still holds. By default, a repetition is a new claim.',
  })
  readonly idempotencyKey?: string | null;
}

/** What the fields mean that name an attempt in a report of a worker. */
const JOB_ID = 'This identifies the job.';
const WORKER = 'This names the worker that holds the job, as in the claim, in 1–128 characters.';
const ATTEMPT = 'This is the number of the attempt that the worker reports on, as the claim returned it.';

@InputType({ description: 'This input reports the result of an attempt.' })
export class CompleteJobInput extends RepeatableInput {
  @Field(() => ID, { description: JOB_ID })
  readonly id!: string;

  @Field(() => String, { description: WORKER })
  readonly worker!: string;

  @Field(() => Int, { description: ATTEMPT })
  readonly attempt!: number;

  @Field(() => JsonScalar, {
    nullable: true,
    description: 'The result is any JSON value of at most 256 KiB. The default is null.',
  })
  readonly result?: Json;

  @Field(() => Float, {
    nullable: true,
    description: 'The cost is a number of at least 0; Sheratan does not interpret it. By default, no cost is recorded.',
  })
  readonly cost?: number | null;
}

@InputType({ description: 'This input reports that an attempt failed.' })
export class FailJobInput extends RepeatableInput {
  @Field(() => ID, { description: JOB_ID })
  readonly id!: string;

  @Field(() => String, { description: WORKER })
  readonly worker!: string;

  @Field(() => Int, { description: ATTEMPT })
  readonly attempt!: number;

  @Field(() => String, { description: 'This is a short reason, such as TIMEOUT, in 1–1,000 characters.' })
  readonly reason!: string;

  @Field(() => String, {
    nullable: true,
    description: 'This describes what happened, in at most 10,000 characters. The default is empty.',
  })
  readonly message?: string | null;

  @Field(() => Boolean, {
    defaultValue: true,
    description:
      'If this is true, the job waits for another attempt while attempts remain; otherwise it is FAILED. The default is true.',
  })
  readonly retryable!: boolean;
}

@InputType({ description: 'This input names a job to cancel.' })
export class CancelJobInput extends ChangeInput {
  @Field(() => String, {
    nullable: true,
    description: 'The reason has at most 1,000 characters. The default is empty.',
  })
  readonly reason?: string | null;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class JobFilter implements Queries.JobFilter {
  @Field(() => ID, {
    nullable: true,
    description: 'The job belongs to the mission with this identifier. The default is any.',
  })
  readonly missionId?: string | null;

  @Field(() => ID, {
    nullable: true,
    description: 'The job belongs to the task with this identifier. The default is any.',
  })
  readonly taskId?: string | null;

  @Field(() => [JobStatusEnum], {
    nullable: true,
    description: 'The job has one of these statuses, at most 100. The default is any.',
  })
  readonly statuses?: readonly JobStatus[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'The job is of one of these kinds, at most 100. The default is any.',
  })
  readonly kinds?: readonly string[] | null;

  @Field(() => String, {
    nullable: true,
    description: 'This worker holds the job, or held it last. The default is any.',
  })
  readonly worker?: string | null;
}

@ObjectType({
  description: 'This object holds a job after a change. Of several changes, a slow reader may receive only the last.',
})
export class JobChange {
  @Field(() => PositionScalar, {
    description: 'A subscription with this position as `after:` continues after this change.',
  })
  readonly position!: string;

  @Field(() => Job, { description: 'This is the job after the change.' })
  readonly job!: Job;
}

/** A page of jobs. */
export const JobConnection = connectionOf('Job', Job);

const commonProblems = [InvalidInput, NotFound, ConcurrencyConflict, IdempotencyMismatch] as const;

/** The result of `createJob`. */
export const CreateJobResult = resultOf('CreateJobResult', CreateJobPayload, ...commonProblems, MissionIsClosed);

/** The result of `claimJobs`. */
export const ClaimJobsResult = resultOf('ClaimJobsResult', ClaimJobsPayload, InvalidInput, IdempotencyMismatch);

const answerProblems = [...commonProblems, StaleAttempt, JobIsFinished] as const;

/** The result of `completeJob`. */
export const CompleteJobResult = resultOf('CompleteJobResult', CompleteJobPayload, ...answerProblems);

/** The result of `failJob`. */
export const FailJobResult = resultOf('FailJobResult', FailJobPayload, ...answerProblems);

/** The result of `cancelJob`. */
export const CancelJobResult = resultOf('CancelJobResult', CancelJobPayload, ...commonProblems, JobIsFinished);

/** A job from its row in the read model. */
export function jobFromRow(row: StoredJob, services: Pick<CoreServices, 'token'>): Job {
  const { failure_reason: reason, failure_message: message } = row;
  return make(Job, {
    id: row.id,
    taskId: row.task_id,
    missionId: row.mission_id,
    kind: row.kind,
    payload: JSON.parse(row.payload) as Json,
    priority: row.priority,
    maxAttempts: row.max_attempts,
    status: row.status as JobStatus,
    attempt: row.attempt,
    worker: row.worker,
    leaseExpiresAt: row.lease_expires_at,
    result: JSON.parse(row.result) as Json,
    cost: row.cost,
    failure: reason === null ? null : { reason, message: message ?? '' },
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revision: row.revision,
    position: services.token(row.position),
  });
}

/** A job from its folded state. */
export function jobFromState({ state, revision }: Changed<JobData>, position: string): Job {
  const { jobId: id, ...fields } = state;
  return make(Job, { id, ...fields, revision: Number(revision), position });
}
