import { Arg, Args, Authorized, Ctx, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { jobPage } from '../../readmodels/missions/job-queries.js';
import { type Page } from '../../readmodels/page.js';
import type { Durability } from '../../services/core-services.js';
import { PageArgs } from '../kit/connection.js';
import { CONSISTENCY_ARG, ConsistencyEnum } from '../kit/consistency.js';
import { commandContext, waitForPosition, type ApiContext } from '../kit/context.js';
import { asObject, INPUT_ARG, notObjects, onlyGiven } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { mutationResult } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { AT_ARG, PositionScalar } from '../kit/scalars.js';
import { missionById, taskById } from './by-id.js';
import { JobConnection, jobFromRow, type Job } from './job-types.js';
import { Mission } from './mission-types.js';
import {
  CreateTaskInput,
  CreateTaskPayload,
  CreateTaskResult,
  Task,
  UpdateTaskInput,
  UpdateTaskPayload,
  UpdateTaskResult,
  taskFromState,
} from './task-types.js';

/** A query for tasks, and fields of a task. */
@Authorized('viewer')
@Resolver(() => Task)
export class TaskQueries {
  @Query(() => Task, {
    nullable: true,
    description: 'This returns the task with an identifier, or null when none has it.',
  })
  async task(
    @Arg('id', () => ID, { description: 'This identifies the task.' }) id: string,
    @Arg('at', () => PositionScalar, AT_ARG) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Task | null> {
    await waitForPosition(context, at);
    return taskById(context, id);
  }

  @FieldResolver(() => Mission, { nullable: true, description: 'This is the mission of the task.' })
  mission(@Root() { missionId }: Task, @Ctx() context: ApiContext): Promise<Mission | null> {
    return missionById(context, missionId);
  }

  @FieldResolver(() => JobConnection, { description: 'This is a page of the jobs of the task, newest first.' })
  jobs(
    @Root() { id }: Task,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { services }: ApiContext,
  ): Promise<Page<Job>> {
    return jobPage(services, { taskId: id }, page, (row) => jobFromRow(row, services));
  }
}

/** Mutations of tasks. */
@Authorized('worker')
@Resolver()
export class TaskMutations {
  @Mutation(() => CreateTaskResult, { description: 'This creates a task in an OPEN mission.' })
  async createTask(
    @Arg('input', () => CreateTaskInput, INPUT_ARG) input: CreateTaskInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<CreateTaskPayload | ProblemType> {
    const invalid = notObjects({ params: input.params });
    if (invalid !== undefined) return toProblemType(invalid);
    const { missionId, name, description, kind, params } = input;
    const fields = { missionId, name, ...onlyGiven({ description, kind, params: asObject(params) }) };
    const outcome = await context.services.commands.createTask(fields, commandContext(context, input));
    return mutationResult(context, outcome, consistency, (change, changed) =>
      make(CreateTaskPayload, { ...change, task: taskFromState(changed, change.position) }),
    );
  }

  @Mutation(() => UpdateTaskResult, { description: 'This changes the given fields of a task of an OPEN mission.' })
  async updateTask(
    @Arg('input', () => UpdateTaskInput, INPUT_ARG) input: UpdateTaskInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<UpdateTaskPayload | ProblemType> {
    const invalid = notObjects({ params: input.params });
    if (invalid !== undefined) return toProblemType(invalid);
    const { id, name, description, kind, params } = input;
    const changes = onlyGiven({ name, description, kind, params: asObject(params) });
    const outcome = await context.services.commands.updateTask(id, changes, commandContext(context, input));
    return mutationResult(context, outcome, consistency, (change, changed) =>
      make(UpdateTaskPayload, { ...change, task: taskFromState(changed, change.position) }),
    );
  }
}
