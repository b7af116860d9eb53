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
import { AT_ARG, PositionScalar } from '../kit/scalars.js';
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

/** The interval at which changes without a commit are looked for, such as a host that cannot be reached, in milliseconds. */
const LOOK_AGAIN_MS = 1_000;

const DISABLED: Problem = {
  code: 'REPLICATION_DISABLED',
  message: 'Replication is disabled on this core. Set OFFGRID_STORAGE_ENABLED to true and restart the core.',
};

/** The `id` of a host, as an argument. */
const HOST_ID_ARG = { description: 'This is the fingerprint of the verify key of the host.' } as const;

/** Queries and a subscription about replication, and the replication of a mission. */
@Authorized('viewer')
@Resolver(() => Mission)
export class ReplicationQueries {
  @Query(() => ReplicationStatus, { description: 'This returns the progress of replication, and what prevents it.' })
  replicationStatus(@Ctx() { services }: ApiContext): Promise<ReplicationStatus> {
    return services.replicationStatus();
  }

  @Query(() => [Host], { description: 'This returns every host that a policy has named, in the order of their URLs.' })
  async hosts(@Ctx() { services }: ApiContext): Promise<readonly Host[]> {
    return (await services.replicationStatus()).hosts;
  }

  @Query(() => OutboxEntryConnection, {
    description: 'This returns a page of the replicated events that match, newest first.',
  })
  async outbox(
    @Args(() => PageArgs) page: PageArgs,
    @Arg('filter', () => OutboxFilter, {
      nullable: true,
      description: 'Only events that match this filter are returned. The default is every replicated event.',
    })
    filter: OutboxFilter | null,
    @Arg('at', () => PositionScalar, AT_ARG) at: string | null,
    @Ctx() context: ApiContext,
  ): Promise<Page<OutboxEntry>> {
    const { services } = context;
    await waitForPosition(context, at, services.outbox);
    return outboxPage(services, filter, page, (entry) => make(OutboxEntry, entry));
  }

  @FieldResolver(() => MissionReplication, {
    description: 'This shows whether a quorum has signed for the events of the mission itself.',
  })
  async replication(@Root() { id, revision }: Mission, @Ctx() { loaders }: ApiContext): Promise<MissionReplication> {
    const { acknowledged, requiredAcks } = await loaders.acknowledged.load(missionStream(id));
    // Every event of a mission is replicated. The outbox may be behind the read model of missions, or ahead of it.
    const events = revision + 1;
    const pending = Math.max(0, events - acknowledged);
    const state = pending === 0 ? 'REPLICATED' : 'PENDING';
    return { state, pending, acknowledged: events - pending, requiredAcks };
  }

  @Subscription(() => ReplicationStatus, {
    description:
      'This returns the status of replication now, and again each time it changes, at most five times a second.',
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

/** Mutations that control hosts, keys and the writer. */
@Authorized('operator')
@Resolver()
export class ReplicationMutations {
  @Mutation(() => RetryHostResult, {
    description: 'This retries a host immediately. A host that is BLOCKED or FULL becomes ACTIVE.',
  })
  retryHost(
    @Arg('id', () => ID, HOST_ID_ARG) id: string,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<RetryHostPayload | ProblemType> {
    return onHost(context, id, consistency, RetryHostPayload, (operations, by) => operations.retryHost(id, by));
  }

  @Mutation(() => SetHostStateResult, {
    description:
      'This sets the state of a host. RETIRED is permanent, and is refused until the other hosts have every event that a quorum has signed for.',
  })
  setHostState(
    @Arg('id', () => ID, HOST_ID_ARG) id: string,
    @Arg('state', () => SettableHostStateEnum, { description: 'The host gets this state.' }) state: SettableState,
    @Arg('why', () => String, {
      nullable: true,
      description: 'The reason has at most 1,000 characters. The default is empty.',
    })
    why: string | null,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<SetHostStatePayload | ProblemType> {
    return onHost(context, id, consistency, SetHostStatePayload, (operations, by) =>
      operations.setHostState(id, state, why ?? '', by),
    );
  }

  @Mutation(() => ConfirmHostResult, {
    description: 'This confirms the key of a host, which the core accepted at the first contact.',
  })
  confirmHost(
    @Arg('id', () => ID, HOST_ID_ARG) id: string,
    @Arg('consistency', () => ConsistencyEnum, CONSISTENCY_ARG) consistency: Durability | null,
    @Ctx() context: ApiContext,
  ): Promise<ConfirmHostPayload | ProblemType> {
    return onHost(context, id, consistency, ConfirmHostPayload, (operations, by) => operations.confirmHost(id, by));
  }

  @Mutation(() => RotateKeyResult, {
    description:
      'This begins a key epoch: later events are sealed with a new key. The earlier keys are then used only to decrypt.',
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
      'This begins a line with the log of this core, above every line that a host has shown. Events that were at quorum in older lines no longer bind the log, and policies that name permanently lost hosts end. A core that takes no more commands takes them again.',
  })
  beginLine(
    @Arg('origin', () => String, {
      description: 'This must be the name of the origin of this core; it confirms the request.',
    })
    origin: string,
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
    description:
      'This clears the reason why this core takes no more commands: the core claims the hosts again, and is checked again.',
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

/** Resolves when replication may have changed: after a commit of the outbox, or after LOOK_AGAIN_MS. */
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
    if (host === undefined) throw new Error(`host ${id} is missing from the outbox`);
    return make<HostPayload>(payload, { ...change, host }) as P;
  });
}

/** Carries out an operation, waits until it is as durable as requested and returns the payload, or returns the problem. */
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
