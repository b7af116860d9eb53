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

@ObjectType({ implements: Node, description: 'A Task is a part of a mission; its work is done in jobs.' })
export class Task extends Entity {
  @Field(() => ID, { description: 'This identifies the mission of the task.' })
  readonly missionId!: string;

  @Field(() => String, { description: 'This is the name of the task, 1–200 characters.' })
  readonly name!: string;

  @Field(() => String, { description: 'This describes the task, in at most 10,000 characters.' })
  readonly description!: string;

  @Field(() => String, {
    description: 'This is the kind of work, 1–64 characters. Jobs of the task have this kind by default.',
  })
  readonly kind!: string;

  @Field(() => JsonScalar, { description: 'This is a JSON object of at most 64 KiB; Sheratan does not interpret it.' })
  readonly params!: Json;
}

/** The payload of a mutation of a task. */
@ObjectType()
export abstract class TaskPayload extends ChangePayload {
  @Field(() => Task, { description: 'This is the task after the mutation.' })
  readonly task!: Task;
}

@ObjectType({ description: 'The task was created.' })
export class CreateTaskPayload extends TaskPayload {}

@ObjectType({ description: 'The task was updated, or already had the given values.' })
export class UpdateTaskPayload extends TaskPayload {}

@InputType({ description: 'This input describes the task to create.' })
export class CreateTaskInput extends RepeatableInput {
  @Field(() => ID, { description: 'The task becomes a part of the mission with this identifier, which must be OPEN.' })
  readonly missionId!: string;

  @Field(() => String, { description: 'The name has 1–200 characters.' })
  readonly name!: string;

  @Field(() => String, {
    nullable: true,
    description: 'The description has at most 10,000 characters. The default is empty.',
  })
  readonly description?: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'The kind of work has 1–64 characters. The default is `general`.',
  })
  readonly kind?: string | null;

  @Field(() => JsonScalar, {
    nullable: true,
    description: 'The parameters are a JSON object of at most 64 KiB. The default is an empty object.',
  })
  readonly params?: Json;
}

@InputType({
  description: 'This input names a task and its changes. Fields that are null or left out keep their values.',
})
export class UpdateTaskInput extends ChangeInput {
  @Field(() => String, { nullable: true, description: 'The new name has 1–200 characters.' })
  readonly name?: string | null;

  @Field(() => String, { nullable: true, description: 'The new description has at most 10,000 characters.' })
  readonly description?: string | null;

  @Field(() => String, { nullable: true, description: 'The new kind of work has 1–64 characters.' })
  readonly kind?: string | null;

  @Field(() => JsonScalar, {
    nullable: true,
    description: 'This JSON object of at most 64 KiB replaces all parameters.',
  })
  readonly params?: Json;
}

/** A page of tasks. */
export const TaskConnection = connectionOf('Task', Task);

const problems = [InvalidInput, NotFound, MissionIsClosed, ConcurrencyConflict, IdempotencyMismatch] as const;

/** The result of `createTask`. */
export const CreateTaskResult = resultOf('CreateTaskResult', CreateTaskPayload, ...problems);

/** The result of `updateTask`. */
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
