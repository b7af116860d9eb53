import { Field, ID, InputType, ObjectType } from 'type-graphql';
import type { Json } from '../../../domain/json.js';
import type { Task as TaskData } from '../../../domain/task.js';
import type { StoredTask } from '../../readmodels/missions/database.js';
import type { CoreServices } from '../../services/core-services.js';
import { connectionOf } from '../kit/connection.js';
import { ChangeInput, ChangePayload, Entity, Node, RepeatableInput } from '../kit/entity.js';
import { make } from '../kit/make.js';
import { resultOf, type Changed } from '../kit/mutation-result.js';
import { ConcurrencyConflict, IdempotencyMismatch, InvalidInput, MissionIsClosed, NotFound } from '../kit/problems.js';
import { JsonScalar } from '../kit/scalars.js';

@ObjectType({ implements: Node, description: 'A part of a mission, worked off in jobs.' })
export class Task extends Entity {
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
}

/** What a mutation of a task answers. */
@ObjectType()
export abstract class TaskPayload extends ChangePayload {
  @Field(() => Task)
  readonly task!: Task;
}

@ObjectType()
export class CreateTaskPayload extends TaskPayload {}

@ObjectType()
export class UpdateTaskPayload extends TaskPayload {}

@InputType()
export class CreateTaskInput extends RepeatableInput {
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
}

@InputType()
export class UpdateTaskInput extends ChangeInput {
  @Field(() => String, { nullable: true })
  readonly name?: string | null;

  @Field(() => String, { nullable: true })
  readonly description?: string | null;

  @Field(() => String, { nullable: true })
  readonly kind?: string | null;

  @Field(() => JsonScalar, { nullable: true, description: 'Replaces the whole of it.' })
  readonly params?: Json;
}

export const TaskConnection = connectionOf('Task', Task);

const problems = [InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const;

export const CreateTaskResult = resultOf('CreateTaskResult', CreateTaskPayload, ...problems);

export const UpdateTaskResult = resultOf('UpdateTaskResult', UpdateTaskPayload, ...problems);

/** A task from its row in the read model. */
export function taskFromRow(row: StoredTask, services: Pick<CoreServices, 'token'>): Task {
  return make(Task, {
    id: row.id,
    missionId: row.mission_id,
    name: row.name,
    description: row.description,
    kind: row.kind,
    params: JSON.parse(row.params) as Json,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revision: row.revision,
    position: services.token(row.position),
  });
}

/** A task from its folded state. */
export function taskFromState({ state, revision }: Changed<TaskData>, position: string): Task {
  const { taskId: id, status: _present, ...fields } = state;
  return make(Task, { id, ...fields, revision: Number(revision), position });
}
