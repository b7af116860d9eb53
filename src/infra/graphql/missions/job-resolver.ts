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
import { asObject, given, INPUT_ARG, notObjects } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { mutationResult } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { AFTER_ARG, AT_ARG, PositionScalar } from '../kit/scalars.js';
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

/** Queries and a subscription about jobs, and fields of a job. */
@Authorized('viewer')
@Resolver(() => Job)
export class JobQueries {
  @Query(() => Job, {
    nullable: true,
    description: 'This returns the job with an identifier, or null when none has it.',
  })
  async job(
    @Arg('id', () => ID, { description: 'This identifies the job.' }) id: string,
    @Arg('at', () => PositionScalar, AT_ARG) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Job | null> {
    await waitForPosition(context, at);
    return jobById(context, id);
  }

  @Query(() => JobConnection, { description: 'This returns a page of the jobs that match, newest first.' })
  async jobs(
    @Args(() => PageArgs) page: PageArgs,
    @Arg('filter', () => JobFilter, {
      nullable: true,
      description: 'Only jobs that match this filter are returned. The default is every job.',
    })
    filter: JobFilter | null,
    @Arg('at', () => PositionScalar, AT_ARG) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Page<Job>> {
    const { services } = context;
    await waitForPosition(context, at);
    return jobPage(services, filter, page, (row) => jobFromRow(row, services));
  }

  @FieldResolver(() => Task, { nullable: true, description: 'This is the task of the job.' })
  task(@Root() { taskId }: Job, @Ctx() context: ApiContext): Promise<Task | null> {
    return taskById(context, taskId);
  }

  @FieldResolver(() => Mission, { nullable: true, description: 'This is the mission of the job.' })
  mission(@Root() { missionId }: Job, @Ctx() context: ApiContext): Promise<Mission | null> {
    return missionById(context, missionId);
  }

  @Subscription(() => JobChange, {
    description:
      'This returns jobs as they change. With `after`, it first returns each job that changed since that position.',
    subscribe: async ({ args, context }: { args: JobChangedArgs; context: ApiContext }) => {
      const { services } = context;
      checkLists({ kinds: args.kinds });
      const after = await services.readAfter(args.after, services.missions.position);
      const filter = { missionId: given(args.missionId), kinds: given(args.kinds) };
      return untilReturned((signal) => jobChanges(services).changes(after, filter, signal));
    },
  })
  jobChanged(
    @Root() change: JobChange,
    @Arg('missionId', () => ID, {
      nullable: true,
      description: 'Only jobs of the mission with this identifier are returned. The default is every mission.',
    })
    _missionId: string | null,
    @Arg('kinds', () => [String], {
      nullable: true,
      description: 'Only jobs of one of these kinds are returned, at most 100. The default is every kind.',
    })
    _kinds: string[] | null,
    @Arg('after', () => PositionScalar, AFTER_ARG) _after: string | null,
  ): JobChange {
    return change;
  }
}

/** The mutations with which workers create, claim and finish jobs. */
@Authorized('worker')
@Resolver()
export class JobWorkMutations {
  @Mutation(() => CreateJobResult, {
    description: 'This creates a job for a task of an OPEN mission. The job is PENDING.',
  })
  async createJob(
    @Arg('input', () => CreateJobInput, INPUT_ARG) input: CreateJobInput,
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

  @Mutation(() => ClaimJobsResult, {
    description: 'This gives PENDING jobs to a worker; each job is given to only one worker.',
  })
  async claimJobs(
    @Arg('input', () => ClaimJobsInput, INPUT_ARG) input: ClaimJobsInput,
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

  @Mutation(() => CompleteJobResult, { description: 'This completes a job with the result of its current attempt.' })
  async completeJob(
    @Arg('input', () => CompleteJobInput, INPUT_ARG) input: CompleteJobInput,
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

  @Mutation(() => FailJobResult, {
    description:
      'This ends an attempt without a result. The job waits again if `retryable` is true and attempts remain; otherwise it is FAILED.',
  })
  async failJob(
    @Arg('input', () => FailJobInput, INPUT_ARG) input: FailJobInput,
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

/** The mutation with which operators cancel jobs. */
@Authorized('operator')
@Resolver()
export class JobControlMutations {
  @Mutation(() => CancelJobResult, { description: 'This cancels a job that has not ended.' })
  async cancelJob(
    @Arg('input', () => CancelJobInput, INPUT_ARG) input: CancelJobInput,
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
