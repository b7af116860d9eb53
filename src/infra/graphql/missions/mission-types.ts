import { Field, InputType, Int, ObjectType } from 'type-graphql';
import type { Json } from '../../../domain/json.js';
import type { Mission as MissionData, MissionStatus, Outcome } from '../../../domain/mission.js';
import type { StoredMission } from '../../readmodels/missions/database.js';
import type * as Queries from '../../readmodels/missions/mission-queries.js';
import type { CoreServices } from '../../services/core-services.js';
import { connectionOf } from '../kit/connection.js';
import { ChangeInput, ChangePayload, Entity, Node, RepeatableInput } from '../kit/entity.js';
import { enumOf } from '../kit/enum.js';
import { make } from '../kit/make.js';
import { resultOf, type Changed } from '../kit/mutation-result.js';
import { ConcurrencyConflict, IdempotencyMismatch, InvalidInput, MissionIsClosed, NotFound } from '../kit/problems.js';
import { JsonScalar, PositionScalar } from '../kit/scalars.js';

const OUTCOMES = {
  COMPLETED: 'It reached its goal.',
  FAILED: 'It did not reach its goal.',
  CANCELLED: 'It was called off.',
} as const satisfies Record<Outcome, string>;

const MissionStatusEnum = enumOf<MissionStatus>({
  name: 'MissionStatus',
  description: 'OPEN until it is closed, then what it ended as.',
  values: { OPEN: 'Takes tasks and jobs.', ...OUTCOMES },
});

const MissionOutcomeEnum = enumOf<Outcome>({
  name: 'MissionOutcome',
  description: 'How a mission ends.',
  values: OUTCOMES,
});

@ObjectType({ description: 'How many jobs of a mission are in each status.' })
export class JobCounts {
  @Field(() => Int)
  readonly pending!: number;

  @Field(() => Int)
  readonly dispatched!: number;

  @Field(() => Int)
  readonly completed!: number;

  @Field(() => Int)
  readonly failed!: number;

  @Field(() => Int)
  readonly cancelled!: number;
}

@ObjectType({ implements: Node, description: 'A goal, made of tasks.' })
export class Mission extends Entity {
  @Field(() => String)
  readonly title!: string;

  @Field(() => String)
  readonly description!: string;

  @Field(() => JsonScalar)
  readonly metadata!: Json;

  @Field(() => [String])
  readonly tags!: readonly string[];

  @Field(() => MissionStatusEnum)
  readonly status!: MissionStatus;

  @Field(() => String, { nullable: true, description: 'Why it was closed.' })
  readonly closedReason!: string | null;
}

/** What a mutation of a mission answers. */
@ObjectType()
export abstract class MissionPayload extends ChangePayload {
  @Field(() => Mission)
  readonly mission!: Mission;
}

@ObjectType()
export class CreateMissionPayload extends MissionPayload {}

@ObjectType()
export class UpdateMissionPayload extends MissionPayload {}

@ObjectType()
export class CloseMissionPayload extends MissionPayload {}

@InputType()
export class CreateMissionInput extends RepeatableInput {
  @Field(() => String, { description: '1–200 characters.' })
  readonly title!: string;

  @Field(() => String, { nullable: true, description: 'At most 10,000 characters.' })
  readonly description?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'A JSON object of at most 64 KiB.' })
  readonly metadata?: Json;

  @Field(() => [String], { nullable: true, description: 'At most 32, of at most 64 characters.' })
  readonly tags?: readonly string[] | null;
}

@InputType()
export class UpdateMissionInput extends ChangeInput {
  @Field(() => String, { nullable: true })
  readonly title?: string | null;

  @Field(() => String, { nullable: true })
  readonly description?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'Replaces the whole of it.' })
  readonly metadata?: Json;

  @Field(() => [String], { nullable: true, description: 'Replaces all of them.' })
  readonly tags?: readonly string[] | null;
}

@InputType()
export class CloseMissionInput extends ChangeInput {
  @Field(() => MissionOutcomeEnum)
  readonly outcome!: Outcome;

  @Field(() => String, { nullable: true, description: 'At most 1,000 characters.' })
  readonly reason?: string | null;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class MissionFilter implements Queries.MissionFilter {
  @Field(() => [MissionStatusEnum], { nullable: true })
  readonly statuses?: readonly MissionStatus[] | null;

  @Field(() => String, { nullable: true, description: 'Has this tag.' })
  readonly tag?: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'The title contains this, whatever the case (of ASCII letters).',
  })
  readonly titleContains?: string | null;
}

@ObjectType({
  description: 'A mission as it is after a change; of several changes a slow reader may see the last only.',
})
export class MissionChange {
  @Field(() => PositionScalar, { description: 'Give it as `after:` to go on from here.' })
  readonly position!: string;

  @Field(() => Mission)
  readonly mission!: Mission;
}

export const MissionConnection = connectionOf('Mission', Mission);

export const CreateMissionResult = resultOf(
  'CreateMissionResult',
  CreateMissionPayload,
  InvalidInput,
  ConcurrencyConflict,
  IdempotencyMismatch,
);

const changeProblems = [InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const;

export const UpdateMissionResult = resultOf('UpdateMissionResult', UpdateMissionPayload, ...changeProblems);

export const CloseMissionResult = resultOf('CloseMissionResult', CloseMissionPayload, ...changeProblems);

/** A mission from its row in the read model. */
export function missionFromRow(row: StoredMission, services: Pick<CoreServices, 'token'>): Mission {
  return make(Mission, {
    id: row.id,
    title: row.title,
    description: row.description,
    metadata: JSON.parse(row.metadata) as Json,
    tags: JSON.parse(row.tags) as string[],
    status: row.status as MissionStatus,
    closedReason: row.closed_reason,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revision: row.revision,
    position: services.token(row.position),
  });
}

/** A mission from its folded state: what a command answers with needs no read. */
export function missionFromState({ state, revision }: Changed<MissionData>, position: string): Mission {
  const { missionId: id, ...fields } = state;
  return make(Mission, { id, ...fields, revision: Number(revision), position });
}
