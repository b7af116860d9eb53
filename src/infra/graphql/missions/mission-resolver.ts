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
import { asObject, given, INPUT_ARG, notObjects, onlyGiven } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { mutationResult } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { AFTER_ARG, AT_ARG, PositionScalar } from '../kit/scalars.js';
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

/** Queries and a subscription about missions, and fields of a mission. */
@Authorized('viewer')
@Resolver(() => Mission)
export class MissionQueries {
  @Query(() => Mission, {
    nullable: true,
    description: 'This returns the mission with an identifier, or null when none has it.',
  })
  async mission(
    @Arg('id', () => ID, { description: 'This identifies the mission.' }) id: string,
    @Arg('at', () => PositionScalar, AT_ARG) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Mission | null> {
    await waitForPosition(context, at);
    return missionById(context, id);
  }

  @Query(() => MissionConnection, { description: 'This returns a page of the missions that match, newest first.' })
  async missions(
    @Args(() => PageArgs) page: PageArgs,
    @Arg('filter', () => MissionFilter, {
      nullable: true,
      description: 'Only missions that match this filter are returned. The default is every mission.',
    })
    filter: MissionFilter | null,
    @Arg('at', () => PositionScalar, AT_ARG) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Page<Mission>> {
    const { services } = context;
    await waitForPosition(context, at);
    return missionPage(services, filter, page, (row) => missionFromRow(row, services));
  }

  @FieldResolver(() => TaskConnection, { description: 'This is a page of the tasks of the mission, newest first.' })
  tasks(
    @Root() { id }: Mission,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { services }: ApiContext,
  ): Promise<Page<Task>> {
    return taskPage(services, id, page, (row) => taskFromRow(row, services));
  }

  @FieldResolver(() => JobCounts, { description: 'This shows how many jobs of the mission are in each status.' })
  async jobCounts(@Root() { id }: Mission, @Ctx() { loaders }: ApiContext): Promise<JobCounts> {
    return (await loaders.stats.load(id)) ?? NO_JOBS;
  }

  @Subscription(() => MissionChange, {
    description:
      'This returns missions as they change. With `after`, it first returns each mission that changed since that position.',
    subscribe: async ({ args, context }: { args: { id?: string; after?: string }; context: ApiContext }) => {
      const { services } = context;
      const after = await services.readAfter(args.after, services.missions.position);
      return untilReturned((signal) => missionChanges(services).changes(after, given(args.id), signal));
    },
  })
  missionChanged(
    @Root() change: MissionChange,
    @Arg('id', () => ID, {
      nullable: true,
      description: 'Only changes of the mission with this identifier are returned. The default is every mission.',
    })
    _id: string | null,
    @Arg('after', () => PositionScalar, AFTER_ARG) _after: string | null,
  ): MissionChange {
    return change;
  }
}

/** Mutations of missions. */
@Authorized('operator')
@Resolver()
export class MissionMutations {
  @Mutation(() => CreateMissionResult, { description: 'This creates a mission, which is OPEN.' })
  async createMission(
    @Arg('input', () => CreateMissionInput, INPUT_ARG) input: CreateMissionInput,
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

  @Mutation(() => UpdateMissionResult, { description: 'This changes the given fields of an OPEN mission.' })
  async updateMission(
    @Arg('input', () => UpdateMissionInput, INPUT_ARG) input: UpdateMissionInput,
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

  @Mutation(() => CloseMissionResult, {
    description: 'This closes a mission permanently. Its open jobs are cancelled shortly afterwards.',
  })
  async closeMission(
    @Arg('input', () => CloseMissionInput, INPUT_ARG) input: CloseMissionInput,
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
