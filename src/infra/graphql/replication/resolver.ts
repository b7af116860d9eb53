import { setTimeout as delay } from 'node:timers/promises';
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
import { missionStream } from '../../../domain/id.js';
import type { Problem } from '../../../domain/problem.js';
import type { Author, Operated, Operations, SettableState } from '../../offgrid/replication/operations.js';
import { firstOf } from '../../platform/linked-signal.js';
import type { Projector } from '../../projector/projector.js';
import { outboxPage } from '../../readmodels/outbox/entry-queries.js';
import { type Page } from '../../readmodels/page.js';
import type { Durability } from '../../services/core-services.js';
import { PageArgs } from '../kit/connection.js';
import { CONSISTENCY_ARG, ConsistencyEnum } from '../kit/consistency.js';
import { waitForPosition, waitUntilDurable, type ApiContext } from '../kit/context.js';
import { make } from '../kit/make.js';
import type { Change } from '../kit/mutation-result.js';
import { toProblemType, type ProblemType } from '../kit/problems.js';
import { PositionScalar } from '../kit/scalars.js';
import { statusChanges } from '../kit/status-changes.js';
import { untilReturned } from '../kit/subscribe.js';
import { Mission } from '../missions/mission-types.js';
import { SettableHostStateEnum } from './enums.js';
import { OutboxEntryConnection, OutboxEntry, OutboxFilter } from './outbox-types.js';
import {
  BeginLinePayload,
  BeginLineResult,
  ConfirmHostPayload,
  ConfirmHostResult,
  Host,
  type HostPayload,
  MissionReplication,
  ReplicationStatus,
  ResumeWriterPayload,
  ResumeWriterResult,
  RetryHostPayload,
  RetryHostResult,
  RotateKeyPayload,
  RotateKeyResult,
  SetHostStatePayload,
  SetHostStateResult,
} from './types.js';

/** How long may pass until what no commit tells of, such as a host that is away, is seen, in milliseconds. */
const LOOK_AGAIN_MS = 1_000;

const DISABLED: Problem = {
  code: 'REPLICATION_DISABLED',
  message: 'Nothing is replicated here. Set OFFGRID_STORAGE_ENABLED to true, and start the core again.',
};

@Authorized('viewer')
@Resolver(() => Mission)
export class ReplicationQueries {
  @Query(() => ReplicationStatus)
  replicationStatus(@Ctx() { services }: ApiContext): Promise<ReplicationStatus> {
    return services.replicationStatus();
  }

  @Query(() => [Host], { description: 'Every host that a policy named, by URL.' })
  async hosts(@Ctx() { services }: ApiContext): Promise<readonly Host[]> {
    return (await services.replicationStatus()).hosts;
  }

  @Query(() => OutboxEntryConnection, { description: 'The replicated events, newest first.' })
  async outbox(
    @Args(() => PageArgs) page: PageArgs,
    @Arg('filter', () => OutboxFilter, { nullable: true }) filter: OutboxFilter | null,
    @Arg('at', () => PositionScalar, { nullable: true }) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Page<OutboxEntry>> {
    const { services } = context;
    await waitForPosition(context, at, services.outbox);
    return outboxPage(services, filter, page, (entry) => make(OutboxEntry, entry));
  }

  @FieldResolver(() => MissionReplication)
  async replication(@Root() { id, revision }: Mission, @Ctx() { loaders }: ApiContext): Promise<MissionReplication> {
    const { acknowledged, requiredAcks } = await loaders.acknowledged.load(missionStream(id));
    // All of them are replicated. The outbox may be behind what is shown of the mission, or before it.
    const events = revision + 1;
    const pending = Math.max(0, events - acknowledged);
    const state = pending === 0 ? 'REPLICATED' : 'PENDING';
    return { state, pending, acknowledged: events - pending, requiredAcks };
  }

  @Subscription(() => ReplicationStatus, {
    description: 'How replication gets on: the status now, then whenever it changes, a few times a second at most.',
    subscribe: ({ context: { services } }: { context: ApiContext }) =>
      untilReturned((signal) =>
        statusChanges(
          () => services.replicationStatus(),
          (waiting) => mayHaveChanged(services.outbox, waiting),
          signal,
        ),
      ),
  })
  replicationStatusChanged(@Root() status: ReplicationStatus): ReplicationStatus {
    return status;
  }
}

@Authorized('operator')
@Resolver()
export class ReplicationMutations {
  @Mutation(() => RetryHostResult, {
    description: 'Tries a host again at once; one that is BLOCKED or FULL is ACTIVE from then on.',
  })
  retryHost(
    @Arg('id', () => ID) id: string,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<RetryHostPayload | ProblemType> {
    return onHost(context, id, consistency, RetryHostPayload, (operations, by) => operations.retryHost(id, by));
  }

  @Mutation(() => SetHostStateResult, {
    description:
      'Gives a host a state. RETIRED is for good, and refused until the others have what a quorum signed for.',
  })
  setHostState(
    @Arg('id', () => ID) id: string,
    @Arg('state', () => SettableHostStateEnum) state: SettableState,
    @Arg('why', () => String, { nullable: true, description: 'At most 1,000 characters.' }) why: string | null,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<SetHostStatePayload | ProblemType> {
    return onHost(context, id, consistency, SetHostStatePayload, (operations, by) =>
      operations.setHostState(id, state, why ?? '', by),
    );
  }

  @Mutation(() => ConfirmHostResult, { description: "Vouches for a host's key, which was taken at first contact." })
  confirmHost(
    @Arg('id', () => ID) id: string,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<ConfirmHostPayload | ProblemType> {
    return onHost(context, id, consistency, ConfirmHostPayload, (operations, by) => operations.confirmHost(id, by));
  }

  @Mutation(() => RotateKeyResult, {
    description:
      'Begins a key epoch: later events are sealed with another key. Keys there were only decrypt from then on.',
  })
  rotateKey(
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<RotateKeyPayload | ProblemType> {
    return operate(
      context,
      consistency,
      (operations, by) => operations.rotateKey(by),
      ({ keyEpoch }, change) => make(RotateKeyPayload, { ...change, keyEpoch }),
    );
  }

  @Mutation(() => BeginLineResult, {
    description:
      'Begins a line with the log of this core, above every line that a host has shown: what was at quorum in older lines binds it no more, and the policies of hosts that are lost for good end. A core that takes no more commands takes them again.',
  })
  beginLine(
    @Arg('origin', () => String, { description: 'The name of the origin, to be sure.' }) origin: string,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<BeginLinePayload | ProblemType> {
    return operate(
      context,
      consistency,
      (operations, by) => operations.beginLine(origin, by),
      ({ line }, change) => make(BeginLinePayload, { ...change, line }),
    );
  }

  @Mutation(() => ResumeWriterResult, {
    description: 'Forgets why this core takes no more commands: it claims the hosts again, and is judged anew.',
  })
  resumeWriter(
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<ResumeWriterPayload | ProblemType> {
    return operate(
      context,
      consistency,
      (operations) => operations.resumeWriter(),
      (_done, change) => make(ResumeWriterPayload, change),
    );
  }
}

/** Resolves when replication may have changed: the outbox has, or it is time to look at what no commit tells of. */
async function mayHaveChanged(outbox: Projector, signal: AbortSignal): Promise<void> {
  await firstOf(signal, (waiting) => [
    outbox.committed(waiting),
    delay(LOOK_AGAIN_MS, undefined, { signal: waiting }).catch(() => undefined),
  ]);
}

function onHost<P extends HostPayload>(
  context: ApiContext,
  id: string,
  consistency: Durability | null,
  payload: new () => P,
  what: (operations: Operations, by: Author) => Promise<Operated>,
): Promise<P | ProblemType> {
  return operate(context, consistency, what, async (_done, change) => {
    const host = (await context.services.replicationStatus()).hosts.find((one) => one.id === id);
    if (host === undefined) throw new Error(`host ${id} is gone from the outbox`);
    return make<HostPayload>(payload, { ...change, host }) as P;
  });
}

/** Carries out an operation, waits until it is as durable as asked, and answers with it; or names the problem. */
async function operate<More, P extends object>(
  context: ApiContext,
  consistency: Durability | null,
  what: (operations: Operations, by: Author) => Promise<Operated<More>>,
  payload: (done: More, change: Change) => P | Promise<P>,
): Promise<P | ProblemType> {
  const { services, caller, correlationId } = context;
  if (services.replication === undefined) return toProblemType(DISABLED);
  const outcome = await what(services.replication.operations, { actor: caller.actor, correlationId });
  if (!outcome.done) return toProblemType(outcome.problem);
  const durability = await waitUntilDurable(context, outcome.position, consistency, services.outbox);
  return payload(outcome, { position: services.token(outcome.position), durability });
}
