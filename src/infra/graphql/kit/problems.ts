import { Field, ID, Int, InterfaceType, ObjectType } from 'type-graphql';
import type { Problem } from '../../../domain/problem.js';
import type { HostState } from '../../../domain/replication.js';
import { enumOf } from './enum.js';
import { HostStateEnum } from './host-state.js';

type ProblemCode = keyof typeof CLASSES;

export const ProblemCodeEnum = enumOf<ProblemCode>({
  name: 'ProblemCode',
  description: 'The stable codes of expected failures.',
  values: {
    INVALID_INPUT: 'Fields of the input are not as they must be.',
    NOT_FOUND: 'There is nothing of that kind with this id.',
    MISSION_CLOSED: 'The mission takes no more changes.',
    JOB_FINISHED: 'The job has ended already; that is final.',
    STALE_ATTEMPT: 'The worker does not hold the attempt it answers for.',
    CONCURRENCY_CONFLICT: 'Others have changed it since the revision the caller saw.',
    IDEMPOTENCY_MISMATCH: 'The idempotency key was used before with another input.',
    PROJECTION_STATE: 'The projection cannot do that in the state it is in.',
    REPLICATION_DISABLED: 'Nothing is replicated here.',
    REPLICATION_STATE: 'Replication cannot do that in the state it is in.',
    HOST_STATE: 'The host cannot be changed so in the state it is in.',
  },
});

@InterfaceType('Problem', { description: 'An expected failure: nothing was changed, and the message says what to do.' })
export abstract class ProblemType {
  @Field(() => ProblemCodeEnum)
  readonly code!: ProblemCode;

  @Field(() => String)
  readonly message!: string;
}

@ObjectType()
export class FieldProblem {
  @Field(() => String, { description: 'Dotted path of the field in the input.' })
  readonly path!: string;

  @Field(() => String)
  readonly message!: string;
}

@ObjectType({
  implements: ProblemType,
  description: 'Fields of the input are not as they must be; every one is named.',
})
export class InvalidInput extends ProblemType {
  @Field(() => [FieldProblem])
  readonly fields!: FieldProblem[];
}

@ObjectType({ implements: ProblemType })
export class NotFound extends ProblemType {
  @Field(() => String)
  readonly entity!: string;

  @Field(() => ID)
  readonly id!: string;
}

@ObjectType({ implements: ProblemType })
export class MissionIsClosed extends ProblemType {
  @Field(() => ID)
  readonly missionId!: string;
}

@ObjectType({ implements: ProblemType, description: 'The job has ended already; that is final.' })
export class JobIsFinished extends ProblemType {
  @Field(() => ID)
  readonly jobId!: string;

  @Field(() => String)
  readonly status!: string;
}

@ObjectType({ implements: ProblemType, description: 'The worker does not hold the attempt it answers for.' })
export class StaleAttempt extends ProblemType {
  @Field(() => ID)
  readonly jobId!: string;

  @Field(() => Int)
  readonly attempt!: number;

  @Field(() => Int)
  readonly currentAttempt!: number;
}

@ObjectType({ implements: ProblemType, description: 'Others have changed it since the revision the caller saw.' })
export class ConcurrencyConflict extends ProblemType {
  @Field(() => String)
  readonly expectedRevision!: string;

  @Field(() => String)
  readonly actualRevision!: string;
}

@ObjectType({ implements: ProblemType, description: 'The idempotency key was used before with another input.' })
export class IdempotencyMismatch extends ProblemType {
  @Field(() => String)
  readonly key!: string;
}

@ObjectType({ implements: ProblemType, description: 'The projection cannot do that in the state it is in.' })
export class ProjectionStateProblem extends ProblemType {
  @Field(() => String)
  readonly name!: string;
}

@ObjectType({ implements: ProblemType, description: 'Nothing is replicated here: OFFGRID_STORAGE_ENABLED is false.' })
export class ReplicationIsDisabled extends ProblemType {}

@ObjectType({ implements: ProblemType, description: 'Replication cannot do that in the state it is in.' })
export class ReplicationStateProblem extends ProblemType {}

@ObjectType({ implements: ProblemType, description: 'The host cannot be changed so in the state it is in.' })
export class HostStateProblem extends ProblemType {
  @Field(() => ID)
  readonly hostId!: string;

  @Field(() => HostStateEnum)
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

/** A problem as the API shows it. @throws Error for the problems no client can cause: ids are made here, jobs are claimed */
export function toProblemType(problem: Problem): ProblemType {
  if (problem.code === 'ALREADY_EXISTS' || problem.code === 'JOB_NOT_PENDING') throw new Error(problem.message);
  return Object.assign(Object.create(CLASSES[problem.code].prototype) as ProblemType, problem);
}
