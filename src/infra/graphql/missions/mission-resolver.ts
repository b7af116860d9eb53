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
import { answer, present } from '../kit/mutation-result.js';
import { PageArgs, readPage, type Page } from '../kit/connection.js';
import { Consistency } from '../../services/durability.js';
import { commandContext, waitForPosition, type ApiContext } from '../kit/context.js';
import { asObject, given, notObjects, onlyGiven } from '../kit/inputs.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';
import { untilReturned } from '../kit/subscribe.js';
import { taskColumns } from '../../readmodels/columns.js';
import { TaskConnection, taskFromRow, type Task } from './task-types.js';
import { missionPage } from '../../readmodels/missions/mission-queries.js';
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

const PROJECTED = { nullable: true, defaultValue: Consistency.PROJECTED } as const;

@Authorized('viewer')
@Resolver(() => Mission)
export class MissionQueries {
  @Query(() => Mission, { nullable: true })
  async mission(
    @Arg('id', () => ID) id: string,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Mission | null> {
    const { services, loaders } = context;
    await waitForPosition(context, at);
    const row = await loaders.mission.load(id);
    return row === undefined ? null : missionFromRow(row, (position) => services.token(position));
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
    return missionPage(services, filter, page, (row) => missionFromRow(row, (position) => services.token(position)));
  }

  @FieldResolver(() => TaskConnection, { description: 'Newest first.' })
  tasks(
    @Root() { id }: Mission,
    @Args(() => PageArgs) page: PageArgs,
    @Ctx() { services }: ApiContext,
  ): Promise<Page<Task>> {
    const tasks = services.db.selectFrom('tasks').select(taskColumns).where('mission_id', '=', id);
    return readPage(tasks, { logId: services.log.logId, table: 'tasks' }, page, (row) =>
      taskFromRow(row, (position) => services.token(position)),
    );
  }

  @FieldResolver(() => JobCounts)
  async jobCounts(@Root() { id }: Mission, @Ctx() { loaders }: ApiContext): Promise<JobCounts> {
    return (await loaders.stats.load(id)) ?? { pending: 0, dispatched: 0, completed: 0, failed: 0, cancelled: 0 };
  }

  @Subscription(() => MissionChange, {
    description:
      'Missions as they change: after a position, first each that changed since, then changes as they happen. Without one, from now on.',
    subscribe: async ({ args, context }: { args: { id?: string; after?: string }; context: ApiContext }) => {
      const { feeds, missions } = context.services;
      const after = await context.services.positionOr(missions.position, args.after);
      return untilReturned((signal) => feeds.missions.changes(after, given(args.id), signal));
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
    @Arg('consistency', () => Consistency, PROJECTED) consistency: Consistency | null,
    @Ctx() context: ApiContext,
  ): Promise<CreateMissionPayload | ProblemType> {
    const invalid = notObjects({ metadata: input.metadata });
    if (invalid !== undefined) return toProblemType(invalid);
    const { title, description, metadata, tags } = input;
    const fields = { title, ...onlyGiven({ description, metadata: asObject(metadata), tags }) };
    const outcome = await context.services.commands.createMission(fields, commandContext(context, input));
    return answer(context, outcome, consistency, ({ state, revision, position, durability }) =>
      Object.assign(new CreateMissionPayload(), {
        position,
        durability,
        mission: missionFromState(present(state), revision, position),
      }),
    );
  }

  @Mutation(() => UpdateMissionResult)
  async updateMission(
    @Arg('input', () => UpdateMissionInput) input: UpdateMissionInput,
    @Arg('consistency', () => Consistency, PROJECTED) consistency: Consistency | null,
    @Ctx() context: ApiContext,
  ): Promise<UpdateMissionPayload | ProblemType> {
    const invalid = notObjects({ metadata: input.metadata });
    if (invalid !== undefined) return toProblemType(invalid);
    const { id, title, description, metadata, tags } = input;
    const changes = onlyGiven({ title, description, metadata: asObject(metadata), tags });
    const outcome = await context.services.commands.updateMission(id, changes, commandContext(context, input));
    return answer(context, outcome, consistency, ({ state, revision, position, durability }) =>
      Object.assign(new UpdateMissionPayload(), {
        position,
        durability,
        mission: missionFromState(present(state), revision, position),
      }),
    );
  }

  @Mutation(() => CloseMissionResult, { description: 'Ends a mission for good; its open jobs are cancelled.' })
  async closeMission(
    @Arg('input', () => CloseMissionInput) input: CloseMissionInput,
    @Arg('consistency', () => Consistency, PROJECTED) consistency: Consistency | null,
    @Ctx() context: ApiContext,
  ): Promise<CloseMissionPayload | ProblemType> {
    const { id, outcome: end, reason } = input;
    const outcome = await context.services.commands.closeMission(id, end, reason ?? '', commandContext(context, input));
    return answer(context, outcome, consistency, ({ state, revision, position, durability }) =>
      Object.assign(new CloseMissionPayload(), {
        position,
        durability,
        mission: missionFromState(present(state), revision, position),
      }),
    );
  }
}
