import { Field, ID, Int, InterfaceType, ObjectType } from 'type-graphql';
import type { Problem } from '../../../domain/problem.js';
import type { HostState } from '../../../domain/replication.js';
import { enumOf } from './enum.js';
import { HostStateEnum } from './host-state.js';

type ProblemCode = keyof typeof CLASSES;

/** The codes of problems, as the schema shows them. */
export const ProblemCodeEnum = enumOf<ProblemCode>({
  name: 'ProblemCode',
  description: 'These codes identify the kinds of problem. They are stable.',
  values: {
    INVALID_INPUT: 'Some fields of the input are invalid.',
    NOT_FOUND: 'No object of the requested kind has this identifier.',
    MISSION_CLOSED: 'The mission is closed and takes no more changes, tasks or jobs.',
    JOB_FINISHED: 'The job has already ended; this is final.',
    STALE_ATTEMPT: 'The worker does not hold the attempt that it reports on.',
    CONCURRENCY_CONFLICT: 'The object is not at the expected revision: another request changed it.',
    IDEMPOTENCY_MISMATCH: 'The idempotency key was used before with another input.',
    PROJECTION_STATE: 'The projection cannot do this in its current state.',
    REPLICATION_DISABLED: 'This core does not replicate: OFFGRID_STORAGE_ENABLED is false.',
    REPLICATION_STATE: 'Replication cannot do this in its current state.',
    HOST_STATE: 'The host cannot be changed in this way in its current state.',
  },
});

@InterfaceType('Problem', {
  description: 'A Problem is an expected failure: nothing was changed, and the message states what to do.',
})
export abstract class ProblemType {
  @Field(() => ProblemCodeEnum, { description: 'This stable code identifies the kind of problem.' })
  readonly code!: ProblemCode;

  @Field(() => String, { description: 'This text states the problem and what to do about it.' })
  readonly message!: string;
}

@ObjectType({ description: 'This object describes one invalid field of an input.' })
export class FieldProblem {
  @Field(() => String, { description: 'This is the dotted path of the field in the input, such as `tags.3`.' })
  readonly path!: string;

  @Field(() => String, { description: 'This text states what the value of the field must be.' })
  readonly message!: string;
}

@ObjectType({
  implements: ProblemType,
  description: 'Some fields of the input are invalid; `fields` names them.',
})
export class InvalidInput extends ProblemType {
  @Field(() => [FieldProblem], { description: 'These are the invalid fields.' })
  readonly fields!: FieldProblem[];
}

@ObjectType({ implements: ProblemType, description: 'No object of the requested kind has this identifier.' })
export class NotFound extends ProblemType {
  @Field(() => String, {
    description: 'The object was expected to be of this kind: Mission, Task, Job, Projection or Host.',
  })
  readonly entity!: string;

  @Field(() => ID, { description: 'No object has this identifier; for a Projection, it is the name.' })
  readonly id!: string;
}

@ObjectType({
  implements: ProblemType,
  description: 'The mission is closed and takes no more changes, tasks or jobs.',
})
export class MissionIsClosed extends ProblemType {
  @Field(() => ID, { description: 'This identifies the closed mission.' })
  readonly missionId!: string;
}

@ObjectType({ implements: ProblemType, description: 'The job has already ended; this is final.' })
export class JobIsFinished extends ProblemType {
  @Field(() => ID, { description: 'This identifies the finished job.' })
  readonly jobId!: string;

  @Field(() => String, { description: 'The job ended with this status: COMPLETED, FAILED or CANCELLED.' })
  readonly status!: string;
}

@ObjectType({ implements: ProblemType, description: 'The worker does not hold the attempt that it reports on.' })
export class StaleAttempt extends ProblemType {
  @Field(() => ID, { description: 'This identifies the job.' })
  readonly jobId!: string;

  @Field(() => Int, { description: 'The worker reported on the attempt with this number.' })
  readonly attempt!: number;

  @Field(() => Int, { description: 'This is the number of the latest attempt of the job; 0 before the first.' })
  readonly currentAttempt!: number;
}

@ObjectType({
  implements: ProblemType,
  description: 'The object is not at the expected revision: another request changed it.',
})
export class ConcurrencyConflict extends ProblemType {
  @Field(() => String, { description: 'The object was expected to be at this revision.' })
  readonly expectedRevision!: string;

  @Field(() => String, { description: 'The object is at this revision; −1 when it does not exist.' })
  readonly actualRevision!: string;
}

@ObjectType({ implements: ProblemType, description: 'The idempotency key was used before with another input.' })
export class IdempotencyMismatch extends ProblemType {
  @Field(() => String, { description: 'The request had this idempotency key.' })
  readonly key!: string;
}

@ObjectType({ implements: ProblemType, description: 'The projection cannot do this in its current state.' })
export class ProjectionStateProblem extends ProblemType {
  @Field(() => String, { description: 'This is the name of the projection.' })
  readonly name!: string;
}

@ObjectType({ implements: ProblemType, description: 'This core does not replicate: OFFGRID_STORAGE_ENABLED is false.' })
export class ReplicationIsDisabled extends ProblemType {}

@ObjectType({ implements: ProblemType, description: 'Replication cannot do this in its current state.' })
export class ReplicationStateProblem extends ProblemType {}

@ObjectType({ implements: ProblemType, description: 'The host cannot be changed in this way in its current state.' })
export class HostStateProblem extends ProblemType {
  @Field(() => ID, { description: 'This is the fingerprint of the verify key of the host.' })
  readonly hostId!: string;

  @Field(() => HostStateEnum, { description: 'The host is in this state.' })
  readonly state!: HostState;
}

const CLASSES = {
  INVALID_INPUT: InvalidInput,
  NOT_FOUND: NotFound,
  MISSION_CLOSED: MissionIsClosed,
  JOB_FINISHED: JobIsFinished,
  STALE_ATTEMPT: StaleAttempt,
  CONCURRENCY_CONFLICT: ConcurrencyConflict,
  IDEMPOTENCY_MISMATCH: IdempotencyMismatch,
  PROJECTION_STATE: ProjectionStateProblem,
  REPLICATION_DISABLED: ReplicationIsDisabled,
  REPLICATION_STATE: ReplicationStateProblem,
  HOST_STATE: HostStateProblem,
} as const;

/**
 * A problem as the API shows it.
 * @throws Error for ALREADY_EXISTS and JOB_NOT_PENDING, which no client can cause: the core creates ids, and only `claimJobs`
 * dispatches jobs
 */
export function toProblemType(problem: Problem): ProblemType {
  if (problem.code === 'ALREADY_EXISTS' || problem.code === 'JOB_NOT_PENDING') throw new Error(problem.message);
  return Object.assign(Object.create(CLASSES[problem.code].prototype) as ProblemType, problem);
}
