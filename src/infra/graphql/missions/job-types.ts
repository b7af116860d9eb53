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
  description: 'Where a job is in its life.',
  values: {
    PENDING: 'Waits for a worker.',
    DISPATCHED: 'A worker holds it, until its lease expires.',
    COMPLETED: 'Done; final.',
    FAILED: 'Given up; final.',
    CANCELLED: 'Called off; final.',
  },
});

@ObjectType({ description: 'Why the last attempt failed, or why the job was cancelled.' })
export class JobFailure {
  @Field(() => String, { description: 'A short reason; `LEASE_EXPIRED` when the worker was not heard of in time.' })
  readonly reason!: string;

  @Field(() => String)
  readonly message!: string;
}

@ObjectType({ implements: Node, description: 'A unit of work that one worker at a time holds.' })
export class Job extends Entity {
  @Field(() => ID)
  readonly taskId!: string;

  @Field(() => ID)
  readonly missionId!: string;

  @Field(() => String)
  readonly kind!: string;

  @Field(() => JsonScalar)
  readonly payload!: Json;

  @Field(() => Int, { description: 'Higher is claimed sooner; −1000 to 1000.' })
  readonly priority!: number;

  @Field(() => Int)
  readonly maxAttempts!: number;

  @Field(() => JobStatusEnum)
  readonly status!: JobStatus;

  @Field(() => Int, { description: 'How often it was dispatched; names the current attempt while DISPATCHED.' })
  readonly attempt!: number;

  @Field(() => String, { nullable: true })
  readonly worker!: string | null;

  @Field(() => DateTimeScalar, { nullable: true })
  readonly leaseExpiresAt!: string | null;

  @Field(() => JsonScalar, { nullable: true })
  readonly result!: Json;

  @Field(() => Float, { nullable: true })
  readonly cost!: number | null;

  @Field(() => JobFailure, { nullable: true })
  readonly failure!: JobFailure | null;
}

/** What a mutation of a job answers. */
@ObjectType()
export abstract class JobPayload extends ChangePayload {
  @Field(() => Job)
  readonly job!: Job;
}

@ObjectType()
export class CreateJobPayload extends JobPayload {}

@ObjectType()
export class CompleteJobPayload extends JobPayload {}

@ObjectType()
export class FailJobPayload extends JobPayload {}

@ObjectType()
export class CancelJobPayload extends JobPayload {}

@ObjectType({ description: 'The jobs a worker now holds; none when none are waiting.' })
export class ClaimJobsPayload extends ChangePayload {
  @Field(() => [Job])
  readonly jobs!: readonly Job[];
}

@InputType()
export class CreateJobInput extends RepeatableInput {
  @Field(() => ID)
  readonly taskId!: string;

  @Field(() => String, { nullable: true, description: 'The kind of its task unless given.' })
  readonly kind?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'A JSON object of at most 256 KiB.' })
  readonly payload?: Json;

  @Field(() => Int, { nullable: true, description: 'Higher is claimed sooner; −1000 to 1000, 0 unless given.' })
  readonly priority?: number | null;

  @Field(() => Int, { nullable: true, description: '1–100, 3 unless given.' })
  readonly maxAttempts?: number | null;
}

@InputType({ description: 'Higher priority is handed out first, then older.' })
export class ClaimJobsInput {
  @Field(() => String, { description: 'Who asks: 1–128 characters.' })
  readonly worker!: string;

  @Field(() => [String], { nullable: true, description: 'The kinds the worker can do; any when left out.' })
  readonly kinds?: readonly string[] | null;

  @Field(() => Int, { defaultValue: 1, description: '1–100.' })
  readonly limit!: number;

  @Field(() => Int, {
    defaultValue: 300,
    description: 'How long the worker may take, in seconds: 1–86,400. After that the attempt has failed.',
  })
  readonly leaseSeconds!: number;

  @Field(() => String, { nullable: true, description: 'Makes it safe to send again: the same jobs are the answer.' })
  readonly idempotencyKey?: string | null;
}

@InputType()
export class CompleteJobInput extends RepeatableInput {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => String)
  readonly worker!: string;

  @Field(() => Int, { description: 'The attempt this is the answer of, from the claim.' })
  readonly attempt!: number;

  @Field(() => JsonScalar, { nullable: true, description: 'Any JSON of at most 256 KiB.' })
  readonly result?: Json;

  @Field(() => Float, { nullable: true })
  readonly cost?: number | null;
}

@InputType()
export class FailJobInput extends RepeatableInput {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => String)
  readonly worker!: string;

  @Field(() => Int, { description: 'The attempt that failed, from the claim.' })
  readonly attempt!: number;

  @Field(() => String, { description: 'A short reason, such as TIMEOUT: 1–1,000 characters.' })
  readonly reason!: string;

  @Field(() => String, { nullable: true, description: 'What happened: at most 10,000 characters.' })
  readonly message?: string | null;

  @Field(() => Boolean, { defaultValue: true, description: 'Whether another attempt may help.' })
  readonly retryable!: boolean;
}

@InputType()
export class CancelJobInput extends ChangeInput {
  @Field(() => String, { nullable: true, description: 'At most 1,000 characters.' })
  readonly reason?: string | null;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class JobFilter implements Queries.JobFilter {
  @Field(() => ID, { nullable: true })
  readonly missionId?: string | null;

  @Field(() => ID, { nullable: true })
  readonly taskId?: string | null;

  @Field(() => [JobStatusEnum], { nullable: true })
  readonly statuses?: readonly JobStatus[] | null;

  @Field(() => [String], { nullable: true })
  readonly kinds?: readonly string[] | null;

  @Field(() => String, { nullable: true })
  readonly worker?: string | null;
}

@ObjectType({ description: 'A job as it is after a change; of several changes a slow reader may see the last only.' })
export class JobChange {
  @Field(() => PositionScalar, { description: 'Give it as `after:` to go on from here.' })
  readonly position!: string;

  @Field(() => Job)
  readonly job!: Job;
}

export const JobConnection = connectionOf('Job', Job);

const commonProblems = [InvalidInput, NotFound, ConcurrencyConflict, IdempotencyMismatch] as const;

export const CreateJobResult = resultOf('CreateJobResult', CreateJobPayload, ...commonProblems, MissionIsClosed);

export const ClaimJobsResult = resultOf('ClaimJobsResult', ClaimJobsPayload, InvalidInput, IdempotencyMismatch);

const answerProblems = [...commonProblems, StaleAttempt, JobIsFinished] as const;

export const CompleteJobResult = resultOf('CompleteJobResult', CompleteJobPayload, ...answerProblems);

export const FailJobResult = resultOf('FailJobResult', FailJobPayload, ...answerProblems);

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
