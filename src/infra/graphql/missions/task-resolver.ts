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
import { JobConnection, jobFromRow, type Job } from './job-types.js';
import { Mission, missionFromRow } from './mission-types.js';
import {
  CreateTaskInput,
  CreateTaskPayload,
  CreateTaskResult,
  Task,
  UpdateTaskInput,
  UpdateTaskPayload,
  UpdateTaskResult,
  taskFromRow,
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
    const { services, loaders } = context;
    await waitForPosition(context, at);
    const row = await loaders.task.load(id);
    return row === undefined ? null : taskFromRow(row, (position) => services.token(position));
  }

  @FieldResolver(() => Mission, { nullable: true })
  async mission(@Root() { missionId }: Task, @Ctx() { services, loaders }: ApiContext): Promise<Mission | null> {
    const row = await loaders.mission.load(missionId);
    return row === undefined ? null : missionFromRow(row, (position) => services.token(position));
  }

  @FieldResolver(() => JobConnection, { description: 'Newest first.' })
  jobs(
    @Root() { id }: Task,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { services }: ApiContext,
  ): Promise<Page<Job>> {
    return jobPage(services, { taskId: id }, page, (row) => jobFromRow(row, (position) => services.token(position)));
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
