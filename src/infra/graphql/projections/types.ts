import { Field, Float, ID, Int, ObjectType } from 'type-graphql';
import type { ProjectionFailureCode, ProjectionStatus } from '../../projector/status.js';
import { enumOf } from '../kit/enum.js';
import { make } from '../kit/make.js';
import { resultOf } from '../kit/mutation-result.js';
import { NotFound, ProjectionStateProblem } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';

const ProjectionStateEnum = enumOf<ProjectionStatus['state']>({
  name: 'ProjectionState',
  description: 'What a projection is doing.',
  values: {
    CATCHING_UP: 'Folds what the log holds already.',
    LIVE: 'At the end of the log.',
    HALTED: 'An event could not be folded; see `error`, then `resumeProjection`.',
    REBUILDING: 'Is built anew beside the live tables, which go on answering.',
  },
});

const ProjectionFailureCodeEnum = enumOf<ProjectionFailureCode>({
  name: 'ProjectionFailureCode',
  description: 'The kind of a failure of a projection.',
  values: {
    NEWER_EVENT:
      'A newer build wrote the event: this build does not know its type, category or schema version. Start that build, or a later one.',
    FOLD_FAILED: 'The event could not be folded.',
    WRITE_FAILED: 'The file of the projection cannot be written, which is tried again.',
  },
});

@ObjectType({ description: 'What keeps a projection from going on: an event, or that its file cannot be written.' })
export class ProjectionFailure {
  @Field(() => ProjectionFailureCodeEnum, { description: 'The kind of the failure.' })
  readonly code!: ProjectionFailureCode;

  @Field(() => PositionScalar, { description: 'Of the event; or up to where its file has been written.' })
  readonly position!: string;

  @Field(() => ID, { nullable: true, description: 'The event that halted it; null when it is the file.' })
  readonly eventId!: string | null;

  @Field(() => String, { nullable: true, description: "The event's type." })
  readonly type!: string | null;

  @Field(() => String)
  readonly message!: string;
}

@ObjectType({ description: 'A read model, and how far it has got.' })
export class Projection {
  @Field(() => ID)
  readonly name!: string;

  @Field(() => Int)
  readonly version!: number;

  @Field(() => ProjectionStateEnum)
  readonly state!: ProjectionStatus['state'];

  @Field(() => PositionScalar, { description: 'What has been folded; of the new generation while REBUILDING.' })
  readonly position!: string;

  @Field(() => PositionScalar, { description: 'The end of the log.' })
  readonly head!: string;

  @Field(() => Float, { description: 'How far `position` is from `head`.' })
  readonly behind!: number;

  @Field(() => Float)
  readonly eventsPerSecond!: number;

  @Field(() => Float, { nullable: true, description: 'Until it has caught up, at this rate.' })
  readonly etaSeconds!: number | null;

  @Field(() => Int, { description: 'Counts its rebuilds.' })
  readonly generation!: number;

  @Field(() => ProjectionFailure, { nullable: true })
  readonly error!: ProjectionFailure | null;
}

/** What a mutation of a projection answers. */
@ObjectType()
export abstract class ProjectionPayload {
  @Field(() => Projection)
  readonly projection!: Projection;
}

@ObjectType()
export class RebuildProjectionPayload extends ProjectionPayload {}

@ObjectType()
export class CancelRebuildPayload extends ProjectionPayload {}

@ObjectType()
export class RollbackProjectionPayload extends ProjectionPayload {}

@ObjectType()
export class ResumeProjectionPayload extends ProjectionPayload {}

export const RebuildProjectionResult = resultOf(
  'RebuildProjectionResult',
  RebuildProjectionPayload,
  NotFound,
  ProjectionStateProblem,
);

export const CancelRebuildResult = resultOf(
  'CancelRebuildResult',
  CancelRebuildPayload,
  NotFound,
  ProjectionStateProblem,
);

export const RollbackProjectionResult = resultOf(
  'RollbackProjectionResult',
  RollbackProjectionPayload,
  NotFound,
  ProjectionStateProblem,
);

export const ResumeProjectionResult = resultOf(
  'ResumeProjectionResult',
  ResumeProjectionPayload,
  NotFound,
  ProjectionStateProblem,
);

/** A projection's status as the API shows it. */
export function toProjection(status: ProjectionStatus, token: (position: bigint) => string): Projection {
  const { error, position, head } = status;
  return make(Projection, {
    ...status,
    position: token(position),
    head: token(head),
    behind: Number(head - position),
    error: error === null ? null : { ...error, position: token(error.position) },
  });
}
