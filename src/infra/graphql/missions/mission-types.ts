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
  COMPLETED: 'The mission reached its goal.',
  FAILED: 'The mission did not reach its goal.',
  CANCELLED: 'The mission was cancelled.',
} as const satisfies Record<Outcome, string>;

const MissionStatusEnum = enumOf<MissionStatus>({
  name: 'MissionStatus',
  description: 'A mission is OPEN until it is closed; then its status is its outcome.',
  values: { OPEN: 'The mission takes changes, tasks and jobs.', ...OUTCOMES },
});

const MissionOutcomeEnum = enumOf<Outcome>({
  name: 'MissionOutcome',
  description: 'A closed mission has one of these outcomes.',
  values: OUTCOMES,
});

@ObjectType({ description: 'This object shows how many jobs of a mission are in each status.' })
export class JobCounts {
  @Field(() => Int, { description: 'This many jobs are PENDING.' })
  readonly pending!: number;

  @Field(() => Int, { description: 'This many jobs are DISPATCHED.' })
  readonly dispatched!: number;

  @Field(() => Int, { description: 'This many jobs are COMPLETED.' })
  readonly completed!: number;

  @Field(() => Int, { description: 'This many jobs are FAILED.' })
  readonly failed!: number;

  @Field(() => Int, { description: 'This many jobs are CANCELLED.' })
  readonly cancelled!: number;
}

@ObjectType({ implements: Node, description: 'A Mission is a goal that consists of tasks.' })
export class Mission extends Entity {
  @Field(() => String, { description: 'This is the title of the mission, 1–200 characters.' })
  readonly title!: string;

  @Field(() => String, { description: 'This describes the mission, in at most 10,000 characters.' })
  readonly description!: string;

  @Field(() => JsonScalar, { description: 'This is a JSON object of at most 64 KiB; Sheratan does not interpret it.' })
  readonly metadata!: Json;

  @Field(() => [String], { description: 'The mission has at most 32 distinct tags of 1–64 characters.' })
  readonly tags!: readonly string[];

  @Field(() => MissionStatusEnum, { description: 'The mission is OPEN, or closed with this outcome.' })
  readonly status!: MissionStatus;

  @Field(() => String, {
    nullable: true,
    description: 'The mission was closed for this reason; it is null while the mission is OPEN.',
  })
  readonly closedReason!: string | null;
}

/** The payload of a mutation of a mission. */
@ObjectType()
export abstract class MissionPayload extends ChangePayload {
  @Field(() => Mission, { description: 'This is the mission after the mutation.' })
  readonly mission!: Mission;
}

@ObjectType({ description: 'The mission was created.' })
export class CreateMissionPayload extends MissionPayload {}

@ObjectType({ description: 'The mission was updated, or already had the given values.' })
export class UpdateMissionPayload extends MissionPayload {}

@ObjectType({ description: 'The mission was closed.' })
export class CloseMissionPayload extends MissionPayload {}

@InputType({ description: 'This input describes the mission to create.' })
export class CreateMissionInput extends RepeatableInput {
  @Field(() => String, { description: 'The title has 1–200 characters.' })
  readonly title!: string;

  @Field(() => String, {
    nullable: true,
    description: 'The description has at most 10,000 characters. The default is empty.',
  })
  readonly description?: string | null;

  @Field(() => JsonScalar, {
    nullable: true,
    description: 'The metadata is a JSON object of at most 64 KiB. The default is an empty object.',
  })
  readonly metadata?: Json;

  @Field(() => [String], {
    nullable: true,
    description: 'There are at most 32 distinct tags of 1–64 characters. The default is none.',
  })
  readonly tags?: readonly string[] | null;
}

@InputType({
  description: 'This input names a mission and its changes. Fields that are null or left out keep their values.',
})
export class UpdateMissionInput extends ChangeInput {
  @Field(() => String, { nullable: true, description: 'The new title has 1–200 characters.' })
  readonly title?: string | null;

  @Field(() => String, { nullable: true, description: 'The new description has at most 10,000 characters.' })
  readonly description?: string | null;

  @Field(() => JsonScalar, {
    nullable: true,
    description: 'This JSON object of at most 64 KiB replaces the complete metadata.',
  })
  readonly metadata?: Json;

  @Field(() => [String], {
    nullable: true,
    description: 'These at most 32 distinct tags of 1–64 characters replace all tags.',
  })
  readonly tags?: readonly string[] | null;
}

@InputType({ description: 'This input names a mission to close, and its outcome.' })
export class CloseMissionInput extends ChangeInput {
  @Field(() => MissionOutcomeEnum, { description: 'The mission ends with this outcome.' })
  readonly outcome!: Outcome;

  @Field(() => String, {
    nullable: true,
    description: 'The reason has at most 1,000 characters. The default is empty.',
  })
  readonly reason?: string | null;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class MissionFilter implements Queries.MissionFilter {
  @Field(() => [MissionStatusEnum], {
    nullable: true,
    description: 'The mission has one of these statuses, at most 100. The default is any.',
  })
  readonly statuses?: readonly MissionStatus[] | null;

  @Field(() => String, { nullable: true, description: 'The mission has this tag. The default is any.' })
  readonly tag?: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'The title contains this text; the case of ASCII letters is ignored. The default is any.',
  })
  readonly titleContains?: string | null;
}

@ObjectType({
  description:
    'This object holds a mission after a change. Of several changes, a slow reader may receive only the last.',
})
export class MissionChange {
  @Field(() => PositionScalar, {
    description: 'A subscription with this position as `after:` continues after this change.',
  })
  readonly position!: string;

  @Field(() => Mission, { description: 'This is the mission after the change.' })
  readonly mission!: Mission;
}

/** A page of missions. */
export const MissionConnection = connectionOf('Mission', Mission);

/** The result of `createMission`. */
export const CreateMissionResult = resultOf(
  'CreateMissionResult',
  CreateMissionPayload,
  InvalidInput,
  ConcurrencyConflict,
  IdempotencyMismatch,
);

const changeProblems = [InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const;

/** The result of `updateMission`. */
export const UpdateMissionResult = resultOf('UpdateMissionResult', UpdateMissionPayload, ...changeProblems);

/** The result of `closeMission`. */
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

/** A mission from its folded state, so that the result of a command needs no read. */
export function missionFromState({ state, revision }: Changed<MissionData>, position: string): Mission {
  const { missionId: id, ...fields } = state;
  return make(Mission, { id, ...fields, revision: Number(revision), position });
}
