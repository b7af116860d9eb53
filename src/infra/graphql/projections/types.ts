import { Field, Float, ID, Int, ObjectType } from 'type-graphql';
import type { ProjectionFailureCode, ProjectionStatus } from '../../projector/status.js';
import { enumOf } from '../kit/enum.js';
import { make } from '../kit/make.js';
import { resultOf } from '../kit/mutation-result.js';
import { NotFound, ProjectionStateProblem } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';

const ProjectionStateEnum = enumOf<ProjectionStatus['state']>({
  name: 'ProjectionState',
  description: 'A projection is in one of these states.',
  values: {
    CATCHING_UP: 'The projection folds events that the log already holds.',
    LIVE: 'The projection has folded every event up to the end of the log.',
    HALTED: 'An event could not be folded: `error` shows it, and `resumeProjection` resumes the projection.',
    REBUILDING: 'The projection is rebuilt beside the live tables, which continue to answer queries.',
  },
});

const ProjectionFailureCodeEnum = enumOf<ProjectionFailureCode>({
  name: 'ProjectionFailureCode',
  description: 'These are the kinds of failure of a projection.',
  values: {
    NEWER_EVENT:
      'A newer build wrote the event: this build does not know its type, category or schema version. Start that build or a later one.',
    FOLD_FAILED: 'The event could not be folded.',
    WRITE_FAILED: 'The file of the projection cannot be written; the projection keeps retrying.',
  },
});

@ObjectType({
  description:
    'This object shows why a projection has stopped: an event cannot be folded, or its file cannot be written.',
})
export class ProjectionFailure {
  @Field(() => ProjectionFailureCodeEnum, { description: 'This is the kind of failure.' })
  readonly code!: ProjectionFailureCode;

  @Field(() => PositionScalar, {
    description: 'This is the position of the event; for WRITE_FAILED, the position up to which the file is written.',
  })
  readonly position!: string;

  @Field(() => ID, { nullable: true, description: 'This identifies the event; it is null for WRITE_FAILED.' })
  readonly eventId!: string | null;

  @Field(() => String, { nullable: true, description: 'This is the type of the event; it is null for WRITE_FAILED.' })
  readonly type!: string | null;

  @Field(() => String, { description: 'This text states what failed.' })
  readonly message!: string;
}

@ObjectType({ description: 'This object shows the state of a projection: a read model that is computed from the log.' })
export class Projection {
  @Field(() => ID, { description: 'The projection has this name: `missions` or `outbox`.' })
  readonly name!: string;

  @Field(() => Int, { description: 'This build has this version of the projection.' })
  readonly version!: number;

  @Field(() => ProjectionStateEnum, { description: 'The projection is in this state.' })
  readonly state!: ProjectionStatus['state'];

  @Field(() => PositionScalar, {
    description: 'Every event up to this position has been folded; while REBUILDING, into the new generation.',
  })
  readonly position!: string;

  @Field(() => PositionScalar, { description: 'This is the position of the end of the log.' })
  readonly head!: string;

  @Field(() => Float, { description: 'This is the distance from `position` to `head`, in positions of the log.' })
  readonly behind!: number;

  @Field(() => Float, { description: 'The projection has folded this many events per second over the last 5 s.' })
  readonly eventsPerSecond!: number;

  @Field(() => Float, {
    nullable: true,
    description:
      'At the current rate, the projection reaches the end of the log in this many seconds. It is null while the projection does not advance.',
  })
  readonly etaSeconds!: number | null;

  @Field(() => Int, {
    description: 'This is the number of the generation of the tables that `position` refers to, from 1.',
  })
  readonly generation!: number;

  @Field(() => ProjectionFailure, {
    nullable: true,
    description: 'The projection stopped for this reason; it is null when nothing is wrong.',
  })
  readonly error!: ProjectionFailure | null;
}

/** The payload of a mutation of a projection. */
@ObjectType()
export abstract class ProjectionPayload {
  @Field(() => Projection, { description: 'This is the projection after the mutation.' })
  readonly projection!: Projection;
}

@ObjectType({ description: 'The rebuild has started.' })
export class RebuildProjectionPayload extends ProjectionPayload {}

@ObjectType({ description: 'The rebuild was cancelled.' })
export class CancelRebuildPayload extends ProjectionPayload {}

@ObjectType({ description: 'The previous generation is live again.' })
export class RollbackProjectionPayload extends ProjectionPayload {}

@ObjectType({ description: 'The projection was resumed.' })
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

/** The status of a projection as the API shows it. */
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
