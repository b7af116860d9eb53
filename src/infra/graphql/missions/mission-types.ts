import { Field, ID, InputType, Int, ObjectType, createUnionType, registerEnumType } from 'type-graphql';
import type { Json } from '../../../domain/json.js';
import type { Mission as MissionData } from '../../../domain/mission.js';
import { connectionOf } from '../kit/connection.js';
import type { StoredMission } from '../kit/loaders.js';
import { Node } from '../kit/node.js';
import { ConcurrencyConflict, IdempotencyMismatch, InvalidInput, MissionIsClosed, NotFound } from '../kit/problems.js';
import { DateTimeScalar, JsonScalar, PositionScalar } from '../kit/scalars.js';
import { Consistency } from '../../services/durability.js';

export enum MissionStatus {
  OPEN = 'OPEN',
  COMPLETED = 'COMPLETED',
  FAILED = 'FAILED',
  CANCELLED = 'CANCELLED',
}
registerEnumType(MissionStatus, {
  name: 'MissionStatus',
  description: 'OPEN until it is closed, then what it ended as.',
});

export enum MissionOutcome {
  COMPLETED = 'COMPLETED',
  FAILED = 'FAILED',
  CANCELLED = 'CANCELLED',
}
registerEnumType(MissionOutcome, { name: 'MissionOutcome', description: 'How a mission ends.' });

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
export class Mission extends Node {
  @Field(() => String)
  readonly title!: string;

  @Field(() => String)
  readonly description!: string;

  @Field(() => JsonScalar)
  readonly metadata!: Json;

  @Field(() => [String])
  readonly tags!: readonly string[];

  @Field(() => MissionStatus)
  readonly status!: string;

  @Field(() => String, { nullable: true, description: 'Why it was closed.' })
  readonly closedReason!: string | null;

  @Field(() => DateTimeScalar)
  readonly createdAt!: string;

  @Field(() => DateTimeScalar)
  readonly updatedAt!: string;

  @Field(() => Int, { description: 'How many changes it has seen, from 0; give it as `expectedRevision`.' })
  readonly revision!: number;

  @Field(() => PositionScalar, { description: 'Where in the log it changed last.' })
  readonly position!: string;
}

@ObjectType({ description: 'A mission after a change.' })
export class MissionPayload {
  @Field(() => PositionScalar, { description: 'Give it as `at:` or `after:` to see this change.' })
  readonly position!: string;

  @Field(() => Consistency, { description: 'How durable the change is by now.' })
  readonly durability!: string;

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
export class CreateMissionInput {
  @Field(() => String, { description: '1–200 characters.' })
  readonly title!: string;

  @Field(() => String, { nullable: true, description: 'At most 10,000 characters.' })
  readonly description?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'A JSON object of at most 64 KiB.' })
  readonly metadata?: Json;

  @Field(() => [String], { nullable: true, description: 'At most 32, of at most 64 characters.' })
  readonly tags?: readonly string[] | null;

  @Field(() => String, { nullable: true, description: 'Makes it safe to send again.' })
  readonly idempotencyKey?: string | null;
}

@InputType()
export class UpdateMissionInput {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => String, { nullable: true })
  readonly title?: string | null;

  @Field(() => String, { nullable: true })
  readonly description?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'Replaces the whole of it.' })
  readonly metadata?: Json;

  @Field(() => [String], { nullable: true, description: 'Replaces all of them.' })
  readonly tags?: readonly string[] | null;

  @Field(() => Int, { nullable: true, description: 'The revision you have seen; anything else is a conflict.' })
  readonly expectedRevision?: number | null;

  @Field(() => String, { nullable: true, description: 'Makes it safe to send again.' })
  readonly idempotencyKey?: string | null;
}

@InputType()
export class CloseMissionInput {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => MissionOutcome)
  readonly outcome!: MissionOutcome;

  @Field(() => String, { nullable: true, description: 'At most 1,000 characters.' })
  readonly reason?: string | null;

  @Field(() => Int, { nullable: true, description: 'The revision you have seen; anything else is a conflict.' })
  readonly expectedRevision?: number | null;

  @Field(() => String, { nullable: true, description: 'Makes it safe to send again.' })
  readonly idempotencyKey?: string | null;
}

@InputType({ description: 'Given parts must all hold.' })
export class MissionFilter {
  @Field(() => [MissionStatus], { nullable: true })
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

export const CreateMissionResult = createUnionType({
  name: 'CreateMissionResult',
  types: () => [CreateMissionPayload, InvalidInput, ConcurrencyConflict, IdempotencyMismatch] as const,
});

export const UpdateMissionResult = createUnionType({
  name: 'UpdateMissionResult',
  types: () =>
    [UpdateMissionPayload, InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const,
});

export const CloseMissionResult = createUnionType({
  name: 'CloseMissionResult',
  types: () =>
    [CloseMissionPayload, InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const,
});

/** A mission from its row in the read model. */
export function missionFromRow(row: StoredMission, token: (position: string) => string): Mission {
  return Object.assign(new Mission(), {
    id: row.id,
    title: row.title,
    description: row.description,
    metadata: JSON.parse(row.metadata) as Json,
    tags: JSON.parse(row.tags) as string[],
    status: row.status,
    closedReason: row.closed_reason,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revision: row.revision,
    position: token(row.position),
  });
}

/** A mission from its folded state: what a command answers with needs no read. */
export function missionFromState(state: MissionData, revision: bigint, position: string): Mission {
  const { missionId, title, description, metadata, tags, status, closedReason, createdAt, updatedAt } = state;
  const fields = { title, description, metadata, tags, status, closedReason, createdAt, updatedAt };
  return Object.assign(new Mission(), { id: missionId, ...fields, revision: Number(revision), position });
}
