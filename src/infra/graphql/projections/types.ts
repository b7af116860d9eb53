import { Field, Float, ID, Int, ObjectType, createUnionType, registerEnumType } from 'type-graphql';
import type { ProjectionStatus } from '../../projector/status.js';
import { NotFound, ProjectionStateProblem } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';

enum ProjectionState {
  CATCHING_UP = 'CATCHING_UP',
  LIVE = 'LIVE',
  HALTED = 'HALTED',
  REBUILDING = 'REBUILDING',
}
registerEnumType(ProjectionState, {
  name: 'ProjectionState',
  valuesConfig: {
    CATCHING_UP: { description: 'Folds what the log holds already.' },
    LIVE: { description: 'At the end of the log.' },
    HALTED: { description: 'An event could not be folded; see `error`, then `resumeProjection`.' },
    REBUILDING: { description: 'Is built anew beside the live tables, which go on answering.' },
  },
});

enum ProjectionFailureCode {
  NEWER_EVENT = 'NEWER_EVENT',
  FOLD_FAILED = 'FOLD_FAILED',
  WRITE_FAILED = 'WRITE_FAILED',
}
registerEnumType(ProjectionFailureCode, {
  name: 'ProjectionFailureCode',
  description: 'The kind of a failure of a projection.',
  valuesConfig: {
    NEWER_EVENT: {
      description:
        'A newer build wrote the event: this build does not know its type, category or schema version. Start that build, or a later one.',
    },
    FOLD_FAILED: { description: 'The event could not be folded.' },
    WRITE_FAILED: { description: 'The file of the projection cannot be written, which is tried again.' },
  },
});

@ObjectType({ description: 'What keeps a projection from going on: an event, or that its file cannot be written.' })
export class ProjectionFailure {
  @Field(() => ProjectionFailureCode, { description: 'The kind of the failure.' })
  readonly code!: string;

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

  @Field(() => ProjectionState)
  readonly state!: string;

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

@ObjectType()
export class ProjectionPayload {
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

export const RebuildProjectionResult = createUnionType({
  name: 'RebuildProjectionResult',
  types: () => [RebuildProjectionPayload, NotFound, ProjectionStateProblem] as const,
});

export const CancelRebuildResult = createUnionType({
  name: 'CancelRebuildResult',
  types: () => [CancelRebuildPayload, NotFound, ProjectionStateProblem] as const,
});

export const RollbackProjectionResult = createUnionType({
  name: 'RollbackProjectionResult',
  types: () => [RollbackProjectionPayload, NotFound, ProjectionStateProblem] as const,
});

export const ResumeProjectionResult = createUnionType({
  name: 'ResumeProjectionResult',
  types: () => [ResumeProjectionPayload, NotFound, ProjectionStateProblem] as const,
});

/** A projection's status as the API shows it. */
export function toProjection(status: ProjectionStatus, token: (position: bigint) => string): Projection {
  const { error, position, head } = status;
  return Object.assign(new Projection(), {
    ...status,
    position: token(position),
    head: token(head),
    behind: Number(head - position),
    error: error === null ? null : { ...error, position: token(error.position) },
  });
}
