import { Arg, Args, Authorized, Ctx, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { jobPage } from '../../readmodels/missions/job-queries.js';
import { type Page } from '../../readmodels/page.js';
import type { Durability } from '../../services/core-services.js';
import { PageArgs } from '../kit/connection.js';
import { CONSISTENCY_ARG, ConsistencyEnum } from '../kit/consistency.js';
import { commandContext, waitForPosition, type ApiContext } from '../kit/context.js';
import { asObject, notObjects, onlyGiven } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { mutationResult } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';
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

@Authorized('viewer')
@Resolver(() => Task)
export class TaskQueries {
  @Query(() => Task, { nullable: true })
  async task(
    @Arg('id', () => ID) id: string,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Task | null> {
    await waitForPosition(context, at);
    return taskById(context, id);
  }

  @FieldResolver(() => Mission, { nullable: true })
  mission(@Root() { missionId }: Task, @Ctx() context: ApiContext): Promise<Mission | null> {
    return missionById(context, missionId);
  }

  @FieldResolver(() => JobConnection, { description: 'Newest first.' })
  jobs(
    @Root() { id }: Task,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { services }: ApiContext,
  ): Promise<Page<Job>> {
    return jobPage(services, { taskId: id }, page, (row) => jobFromRow(row, services));
  }
}

@Authorized('worker')
@Resolver()
export class TaskMutations {
  @Mutation(() => CreateTaskResult)
  async createTask(
    @Arg('input', () => CreateTaskInput) input: CreateTaskInput,
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

  @Mutation(() => UpdateTaskResult)
  async updateTask(
    @Arg('input', () => UpdateTaskInput) input: UpdateTaskInput,
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
