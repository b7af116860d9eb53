import {
  Arg,
  Args,
  Authorized,
  Ctx,
  FieldResolver,
  ID,
  Mutation,
  Query,
  Resolver,
  Root,
  Subscription,
} from 'type-graphql';
import { missionPage } from '../../readmodels/missions/mission-queries.js';
import { taskPage } from '../../readmodels/missions/task-queries.js';
import type { Page } from '../../readmodels/page.js';
import type { Durability } from '../../services/core-services.js';
import { PageArgs } from '../kit/connection.js';
import { CONSISTENCY_ARG, ConsistencyEnum } from '../kit/consistency.js';
import { commandContext, waitForPosition, type ApiContext } from '../kit/context.js';
import { asObject, given, notObjects, onlyGiven } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { mutationResult } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';
import { untilReturned } from '../kit/subscribe.js';
import { missionById } from './by-id.js';
import { missionChanges } from './changes.js';
import {
  CloseMissionInput,
  CloseMissionPayload,
  CloseMissionResult,
  CreateMissionInput,
  CreateMissionPayload,
  CreateMissionResult,
  JobCounts,
  Mission,
  MissionChange,
  MissionConnection,
  MissionFilter,
  UpdateMissionInput,
  UpdateMissionPayload,
  UpdateMissionResult,
  missionFromRow,
  missionFromState,
} from './mission-types.js';
import { TaskConnection, taskFromRow, type Task } from './task-types.js';

const NO_JOBS: JobCounts = { pending: 0, dispatched: 0, completed: 0, failed: 0, cancelled: 0 };

@Authorized('viewer')
@Resolver(() => Mission)
export class MissionQueries {
  @Query(() => Mission, { nullable: true })
  async mission(
    @Arg('id', () => ID) id: string,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Mission | null> {
    await waitForPosition(context, at);
    return missionById(context, id);
  }

  @Query(() => MissionConnection, { description: 'Newest first.' })
  async missions(
    @Args(() => PageArgs) page: PageArgs,
    @Arg('filter', () => MissionFilter, { nullable: true }) filter: MissionFilter | null,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Page<Mission>> {
    const { services } = context;
    await waitForPosition(context, at);
    return missionPage(services, filter, page, (row) => missionFromRow(row, services));
  }

  @FieldResolver(() => TaskConnection, { description: 'Newest first.' })
  tasks(
    @Root() { id }: Mission,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { services }: ApiContext,
  ): Promise<Page<Task>> {
    return taskPage(services, id, page, (row) => taskFromRow(row, services));
  }

  @FieldResolver(() => JobCounts)
  async jobCounts(@Root() { id }: Mission, @Ctx() { loaders }: ApiContext): Promise<JobCounts> {
    return (await loaders.stats.load(id)) ?? NO_JOBS;
  }

  @Subscription(() => MissionChange, {
    description:
      'Missions as they change: after a position, first each that changed since, then changes as they happen. Without one, from now on.',
    subscribe: async ({ args, context }: { args: { id?: string; after?: string }; context: ApiContext }) => {
      const { services } = context;
      const after = await services.positionOr(services.missions.position, args.after);
      return untilReturned((signal) => missionChanges(services).changes(after, given(args.id), signal));
    },
  })
  missionChanged(
    @Root() change: MissionChange,
    @Arg('id', () => ID, { nullable: true }) _id: string | null,
    @Arg('after', () => PositionScalar, { nullable: true }) _after: string | null,
  ): MissionChange {
    return change;
  }
}

@Authorized('operator')
@Resolver()
export class MissionMutations {
  @Mutation(() => CreateMissionResult)
  async createMission(
    @Arg('input', () => CreateMissionInput) input: CreateMissionInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<CreateMissionPayload | ProblemType> {
    const invalid = notObjects({ metadata: input.metadata });
    if (invalid !== undefined) return toProblemType(invalid);
    const { title, description, metadata, tags } = input;
    const fields = { title, ...onlyGiven({ description, metadata: asObject(metadata), tags }) };
    const outcome = await context.services.commands.createMission(fields, commandContext(context, input));
    return mutationResult(context, outcome, consistency, (change, changed) =>
      make(CreateMissionPayload, { ...change, mission: missionFromState(changed, change.position) }),
    );
  }

  @Mutation(() => UpdateMissionResult)
  async updateMission(
    @Arg('input', () => UpdateMissionInput) input: UpdateMissionInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<UpdateMissionPayload | ProblemType> {
    const invalid = notObjects({ metadata: input.metadata });
    if (invalid !== undefined) return toProblemType(invalid);
    const { id, title, description, metadata, tags } = input;
    const changes = onlyGiven({ title, description, metadata: asObject(metadata), tags });
    const outcome = await context.services.commands.updateMission(id, changes, commandContext(context, input));
    return mutationResult(context, outcome, consistency, (change, changed) =>
      make(UpdateMissionPayload, { ...change, mission: missionFromState(changed, change.position) }),
    );
  }

  @Mutation(() => CloseMissionResult, { description: 'Ends a mission for good; its open jobs are cancelled.' })
  async closeMission(
    @Arg('input', () => CloseMissionInput) input: CloseMissionInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<CloseMissionPayload | ProblemType> {
    const { id, outcome: end, reason } = input;
    const outcome = await context.services.commands.closeMission(id, end, reason ?? '', commandContext(context, input));
    return mutationResult(context, outcome, consistency, (change, changed) =>
      make(CloseMissionPayload, { ...change, mission: missionFromState(changed, change.position) }),
    );
  }
}
