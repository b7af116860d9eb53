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
import type { JobState } from '../../../domain/job.js';
import type { Outcome } from '../../commands/handler.js';
import { jobPage } from '../../readmodels/missions/job-queries.js';
import { checkLists, type Page } from '../../readmodels/page.js';
import type { Durability } from '../../services/core-services.js';
import { PageArgs } from '../kit/connection.js';
import { CONSISTENCY_ARG, ConsistencyEnum } from '../kit/consistency.js';
import { commandContext, waitForPosition, waitUntilDurable, type ApiContext } from '../kit/context.js';
import { RequestError } from '../../readmodels/request-error.js';
import { asObject, given, notObjects } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { mutationResult } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';
import { untilReturned } from '../kit/subscribe.js';
import { jobById, missionById, taskById } from './by-id.js';
import { jobChanges } from './changes.js';
import {
  CancelJobInput,
  CancelJobPayload,
  CancelJobResult,
  ClaimJobsInput,
  ClaimJobsPayload,
  ClaimJobsResult,
  CompleteJobInput,
  CompleteJobPayload,
  CompleteJobResult,
  CreateJobInput,
  CreateJobPayload,
  CreateJobResult,
  FailJobInput,
  FailJobPayload,
  FailJobResult,
  Job,
  JobChange,
  JobConnection,
  JobFilter,
  type JobPayload,
  jobFromRow,
  jobFromState,
} from './job-types.js';
import { Mission } from './mission-types.js';
import { Task } from './task-types.js';

interface JobChangedArgs {
  readonly missionId?: string;
  readonly kinds?: string[] | null;
  readonly after?: string;
}

@Authorized('viewer')
@Resolver(() => Job)
export class JobQueries {
  @Query(() => Job, { nullable: true })
  async job(
    @Arg('id', () => ID) id: string,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Job | null> {
    await waitForPosition(context, at);
    return jobById(context, id);
  }

  @Query(() => JobConnection, { description: 'Newest first.' })
  async jobs(
    @Args(() => PageArgs) page: PageArgs,
    @Arg('filter', () => JobFilter, { nullable: true }) filter: JobFilter | null,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Page<Job>> {
    const { services } = context;
    await waitForPosition(context, at);
    return jobPage(services, filter, page, (row) => jobFromRow(row, services));
  }

  @FieldResolver(() => Task, { nullable: true })
  task(@Root() { taskId }: Job, @Ctx() context: ApiContext): Promise<Task | null> {
    return taskById(context, taskId);
  }

  @FieldResolver(() => Mission, { nullable: true })
  mission(@Root() { missionId }: Job, @Ctx() context: ApiContext): Promise<Mission | null> {
    return missionById(context, missionId);
  }

  @Subscription(() => JobChange, {
    description:
      'Jobs as they change: after a position, first each that changed since, then changes as they happen. Without one, from now on.',
    subscribe: async ({ args, context }: { args: JobChangedArgs; context: ApiContext }) => {
      const { services } = context;
      checkLists({ kinds: args.kinds });
      const after = await services.positionOr(services.missions.position, args.after);
      const filter = { missionId: given(args.missionId), kinds: given(args.kinds) };
      return untilReturned((signal) => jobChanges(services).changes(after, filter, signal));
    },
  })
  jobChanged(
    @Root() change: JobChange,
    @Arg('missionId', () => ID, { nullable: true }) _missionId: string | null,
    @Arg('kinds', () => [String], { nullable: true }) _kinds: string[] | null,
    @Arg('after', () => PositionScalar, { nullable: true }) _after: string | null,
  ): JobChange {
    return change;
  }
}

@Authorized('worker')
@Resolver()
export class JobWorkMutations {
  @Mutation(() => CreateJobResult)
  async createJob(
    @Arg('input', () => CreateJobInput) input: CreateJobInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<CreateJobPayload | ProblemType> {
    const invalid = notObjects({ payload: input.payload });
    if (invalid !== undefined) return toProblemType(invalid);
    const { taskId, kind, payload, priority, maxAttempts } = input;
    const fields = {
      taskId,
      kind: given(kind),
      payload: asObject(payload),
      priority: given(priority),
      maxAttempts: given(maxAttempts),
    };
    const outcome = await context.services.commands.createJob(fields, commandContext(context, input));
    return jobResult(context, outcome, consistency, CreateJobPayload);
  }

  @Mutation(() => ClaimJobsResult, { description: 'Gives a worker jobs to do; each job to one worker only.' })
  async claimJobs(
    @Arg('input', () => ClaimJobsInput) input: ClaimJobsInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<ClaimJobsPayload | ProblemType> {
    const { worker, kinds, limit, leaseSeconds } = input;
    const request = { worker, kinds: given(kinds), limit, leaseSeconds };
    const outcome = await context.services.queue.claim(request, commandContext(context, input));
    if ('behind' in outcome) throw new RequestError('CONSISTENCY_TIMEOUT', outcome.behind);
    if (!outcome.done) return toProblemType(outcome.problem);
    const durability = await waitUntilDurable(context, outcome.position, consistency);
    return make(ClaimJobsPayload, {
      position: context.services.token(outcome.position),
      durability,
      jobs: outcome.jobs.map(({ job: state, revision, position }) =>
        jobFromState({ state, revision }, context.services.token(position)),
      ),
    });
  }

  @Mutation(() => CompleteJobResult)
  async completeJob(
    @Arg('input', () => CompleteJobInput) input: CompleteJobInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<CompleteJobPayload | ProblemType> {
    const { id, worker, attempt, result, cost } = input;
    const outcome = await context.services.commands.completeJob(
      { jobId: id, worker, attempt },
      result ?? null,
      given(cost),
      commandContext(context, input),
    );
    return jobResult(context, outcome, consistency, CompleteJobPayload);
  }

  @Mutation(() => FailJobResult, { description: 'Gives an attempt up; the job waits again while attempts remain.' })
  async failJob(
    @Arg('input', () => FailJobInput) input: FailJobInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<FailJobPayload | ProblemType> {
    const { id, worker, attempt, reason, message, retryable } = input;
    const outcome = await context.services.commands.failJob(
      { jobId: id, worker, attempt },
      { reason, message: message ?? '', retryable },
      commandContext(context, input),
    );
    return jobResult(context, outcome, consistency, FailJobPayload);
  }
}

@Authorized('operator')
@Resolver()
export class JobControlMutations {
  @Mutation(() => CancelJobResult)
  async cancelJob(
    @Arg('input', () => CancelJobInput) input: CancelJobInput,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<CancelJobPayload | ProblemType> {
    const { id, reason } = input;
    const outcome = await context.services.commands.cancelJob(id, reason ?? '', commandContext(context, input));
    return jobResult(context, outcome, consistency, CancelJobPayload);
  }
}

function jobResult<P extends JobPayload>(
  context: ApiContext,
  outcome: Outcome<JobState>,
  consistency: Durability | null,
  payload: new () => P,
): Promise<P | ProblemType> {
  return mutationResult(
    context,
    outcome,
    consistency,
    (change, changed) => make<JobPayload>(payload, { ...change, job: jobFromState(changed, change.position) }) as P,
  );
}
