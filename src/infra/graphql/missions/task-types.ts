import { Field, ID, InputType, Int, ObjectType, createUnionType } from 'type-graphql';
import type { Json } from '../../../domain/json.js';
import type { Task as TaskData } from '../../../domain/task.js';
import { connectionOf } from '../kit/connection.js';
import { Consistency } from '../../services/durability.js';
import type { StoredTask } from '../kit/loaders.js';
import { Node } from '../kit/node.js';
import { ConcurrencyConflict, IdempotencyMismatch, InvalidInput, MissionIsClosed, NotFound } from '../kit/problems.js';
import { DateTimeScalar, JsonScalar, PositionScalar } from '../kit/scalars.js';

@ObjectType({ implements: Node, description: 'A part of a mission, worked off in jobs.' })
export class Task extends Node {
  @Field(() => ID)
  readonly missionId!: string;

  @Field(() => String)
  readonly name!: string;

  @Field(() => String)
  readonly description!: string;

  @Field(() => String, { description: 'What sort of work it is; its jobs have this kind unless they say otherwise.' })
  readonly kind!: string;

  @Field(() => JsonScalar)
  readonly params!: Json;

  @Field(() => DateTimeScalar)
  readonly createdAt!: string;

  @Field(() => DateTimeScalar)
  readonly updatedAt!: string;

  @Field(() => Int, { description: 'How many changes it has seen, from 0; give it as `expectedRevision`.' })
  readonly revision!: number;

  @Field(() => PositionScalar, { description: 'Where in the log it changed last.' })
  readonly position!: string;
}

@ObjectType({ description: 'A task after a change.' })
export class TaskPayload {
  @Field(() => PositionScalar, { description: 'Give it as `at:` or `after:` to see this change.' })
  readonly position!: string;

  @Field(() => Consistency, { description: 'How durable the change is by now.' })
  readonly durability!: string;

  @Field(() => Task)
  readonly task!: Task;
}

@ObjectType()
export class CreateTaskPayload extends TaskPayload {}

@ObjectType()
export class UpdateTaskPayload extends TaskPayload {}

@InputType()
export class CreateTaskInput {
  @Field(() => ID)
  readonly missionId!: string;

  @Field(() => String, { description: '1–200 characters.' })
  readonly name!: string;

  @Field(() => String, { nullable: true, description: 'At most 10,000 characters.' })
  readonly description?: string | null;

  @Field(() => String, { nullable: true, description: '1–64 characters; `general` unless given.' })
  readonly kind?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'A JSON object of at most 64 KiB.' })
  readonly params?: Json;

  @Field(() => String, { nullable: true, description: 'Makes it safe to send again.' })
  readonly idempotencyKey?: string | null;
}

@InputType()
export class UpdateTaskInput {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => String, { nullable: true })
  readonly name?: string | null;

  @Field(() => String, { nullable: true })
  readonly description?: string | null;

  @Field(() => String, { nullable: true })
  readonly kind?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'Replaces the whole of it.' })
  readonly params?: Json;

  @Field(() => Int, { nullable: true, description: 'The revision you have seen; anything else is a conflict.' })
  readonly expectedRevision?: number | null;

  @Field(() => String, { nullable: true, description: 'Makes it safe to send again.' })
  readonly idempotencyKey?: string | null;
}

export const TaskConnection = connectionOf('Task', Task);

export const CreateTaskResult = createUnionType({
  name: 'CreateTaskResult',
  types: () =>
    [CreateTaskPayload, InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const,
});

export const UpdateTaskResult = createUnionType({
  name: 'UpdateTaskResult',
  types: () =>
    [UpdateTaskPayload, InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const,
});

/** A task from its row in the read model. */
export function taskFromRow(row: StoredTask, token: (position: string) => string): Task {
  return Object.assign(new Task(), {
    id: row.id,
    missionId: row.mission_id,
    name: row.name,
    description: row.description,
    kind: row.kind,
    params: JSON.parse(row.params) as Json,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revision: row.revision,
    position: token(row.position),
  });
}

/** A task from its folded state. */
export function taskFromState(state: TaskData, revision: bigint, position: string): Task {
  const { taskId, missionId, name, description, kind, params, createdAt, updatedAt } = state;
  const fields = { missionId, name, description, kind, params, createdAt, updatedAt };
  return Object.assign(new Task(), { id: taskId, ...fields, revision: Number(revision), position });
}
