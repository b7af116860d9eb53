import { Field, Float, ID, Int, ObjectType } from 'type-graphql';
import type { HostState, ProofKind } from '../../../domain/replication.js';
import type { HaltReason } from '../../../domain/writer.js';
import type { NotReplicated } from '../../offgrid/replication/operations.js';
import { ChangePayload } from '../kit/entity.js';
import { HostStateEnum } from '../kit/host-state.js';
import { resultOf } from '../kit/mutation-result.js';
import {
  HostStateProblem,
  InvalidInput,
  NotFound,
  ReplicationIsDisabled,
  ReplicationStateProblem,
} from '../kit/problems.js';
import { DateTimeScalar } from '../kit/scalars.js';
import {
  MissionReplicationStateEnum,
  ProofKindEnum,
  RefusalCodeEnum,
  StopCodeEnum,
  type MissionReplicationState,
} from './enums.js';

@ObjectType({
  description:
    'This object shows how a host has proven itself dishonest. `sheratan hosts evidence` prints both sides of the proof.',
})
export class HostProof {
  @Field(() => ProofKindEnum, { description: 'This is the kind of proof.' })
  readonly kind!: ProofKind;

  @Field(() => DateTimeScalar, { description: 'The proof was recorded at this time.' })
  readonly at!: string;
}

@ObjectType({
  description:
    'This object shows events that a host keeps but that do not count yet, because this core is not elected.',
})
export class StagedEvents {
  @Field(() => ID, { description: 'This is the fingerprint of the verify key of the host.' })
  readonly host!: string;

  @Field(() => Int, { description: 'The host keeps this many events, counted from the first.' })
  readonly events!: number;
}

@ObjectType({
  description: 'A Host is a storage host: its state in the log, and the contact that this core has with it.',
})
export class Host {
  @Field(() => ID, { description: 'This is the fingerprint of the verify key of the host.' })
  readonly id!: string;

  @Field(() => String, { description: 'This is the host and port of the URL.' })
  readonly name!: string;

  @Field(() => String, { description: 'The latest policy that named the host has this URL for it.' })
  readonly url!: string;

  @Field(() => HostStateEnum, { description: 'The host is in this state.' })
  readonly state!: HostState;

  @Field(() => String, { description: 'The host is in its state for this reason; it is empty when none was given.' })
  readonly why!: string;

  @Field(() => Boolean, {
    description:
      'This is true when an operator confirmed the key of the host; otherwise the key is the one from the first contact.',
  })
  readonly confirmed!: boolean;

  @Field(() => Int, {
    description: 'The host has this weight in the latest policy; it is 0 when the policy does not name the host.',
  })
  readonly weight!: number;

  @Field(() => Int, { description: 'The host has signed for every event up to this sequence.' })
  readonly sequence!: number;

  @Field(() => Int, { description: 'The host has not signed for this many events.' })
  readonly behind!: number;

  @Field(() => DateTimeScalar, {
    nullable: true,
    description: 'The last acknowledgement of the host was recorded at this time; it is null before the first.',
  })
  readonly lastAcknowledgedAt!: string | null;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'This is true when the last attempt to supply the host succeeded; it is null when this core is not the one that replicates.',
  })
  readonly reached!: boolean | null;

  @Field(() => String, {
    nullable: true,
    description: 'This is the last failure of the host; it is null after the next success.',
  })
  readonly lastError!: string | null;

  @Field(() => Int, {
    nullable: true,
    description: 'The host reports this many damaged events; it is null when this core has not heard the host.',
  })
  readonly damaged!: number | null;

  @Field(() => HostProof, {
    nullable: true,
    description:
      'This shows how the host has proven itself dishonest; it is null unless the host is SUSPENDED for that.',
  })
  readonly proof!: HostProof | null;

  @Field(() => Float, {
    nullable: true,
    description: 'The broker gives the host this score, 0–1; it is null when the broker reports none.',
  })
  readonly score!: number | null;
}

@ObjectType({ description: 'This object shows why this core takes no more commands.' })
export class ReplicationStop {
  @Field(() => StopCodeEnum, { description: 'This is the kind of reason.' })
  readonly code!: HaltReason['code'];

  @Field(() => String, { description: 'This text states what the core has found.' })
  readonly message!: string;
}

@ObjectType({ description: 'This object shows a configured URL that counts for nothing yet.' })
export class UnmetHost {
  @Field(() => String, { description: 'OFFGRID_STORAGE_HOSTS names this URL.' })
  readonly url!: string;

  @Field(() => String, {
    nullable: true,
    description: 'The URL counts for nothing for this reason; it is null when this core has not tried the URL.',
  })
  readonly trouble!: string | null;
}

@ObjectType({ description: 'This object shows the progress of replication, and what prevents it.' })
export class ReplicationStatus {
  @Field(() => Boolean, { description: 'This is true when this core replicates: OFFGRID_STORAGE_ENABLED is true.' })
  readonly enabled!: boolean;

  @Field(() => String, {
    nullable: true,
    description: 'Hosts know the log of this core by this name; it is null where nothing is or was replicated.',
  })
  readonly origin!: string | null;

  @Field(() => Int, {
    description:
      'This is the number of the line, from 1: it rises when a loss is accepted or a line is begun. Events that were at quorum in older lines no longer bind the log.',
  })
  readonly line!: number;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'This is true once enough hosts have shown that nothing newer than this log exists; nothing counts before that. It is null when this core is not the one that replicates.',
  })
  readonly elected!: boolean | null;

  @Field(() => Int, {
    nullable: true,
    description:
      'Hosts of this total weight must still be heard before this core is elected. It is 0 once the core is elected, and null when this core is not the one that replicates.',
  })
  readonly missingWeight!: number | null;

  @Field(() => Int, {
    nullable: true,
    description:
      'Of the hosts heard, this total weight can be dishonest, lose events or be reset to an older state without harm. It is null while too few hosts are heard, and when this core is not the one that replicates.',
  })
  readonly mayLie!: number | null;

  @Field(() => [StagedEvents], { description: 'Hosts keep these events until this core is elected.' })
  readonly staged!: readonly StagedEvents[];

  @Field(() => Int, { description: 'This is the latest writer epoch in the log; it is 0 before the first.' })
  readonly writerEpoch!: number;

  @Field(() => Int, { description: 'This is the latest key epoch; it is 0 before the first.' })
  readonly keyEpoch!: number;

  @Field(() => Int, {
    nullable: true,
    description: 'The policy in force has this version; it is null before the first policy.',
  })
  readonly policyVersion!: number | null;

  @Field(() => Int, { description: 'Hosts of this total weight must sign for an event, by the policy in force.' })
  readonly requiredAcks!: number;

  @Field(() => Int, { description: 'This is the sequence of the last replicated event; it is 0 before the first.' })
  readonly headSequence!: number;

  @Field(() => Int, { description: 'A quorum has signed for every event up to this sequence.' })
  readonly quorumSequence!: number;

  @Field(() => Int, { description: 'No quorum has signed for this many events yet.' })
  readonly pending!: number;

  @Field(() => Int, { description: 'A quorum has signed for this many events.' })
  readonly completed!: number;

  @Field(() => Float, {
    description:
      'The oldest pending event has this age in seconds; it is 0 when no event is pending or nothing is replicated.',
  })
  readonly lagSeconds!: number;

  @Field(() => Boolean, {
    description:
      'This is true when something keeps events from a host: replication has stopped or is refused, no policy exists, a URL is unmet, or a host of the latest policy is not ACTIVE, is not reached, or has not signed for an event older than 10 s.',
  })
  readonly degraded!: boolean;

  @Field(() => ReplicationStop, {
    nullable: true,
    description: 'This core takes no more commands for this reason; it is null while the core takes them.',
  })
  readonly stopped!: ReplicationStop | null;

  @Field(() => RefusalCodeEnum, {
    nullable: true,
    description: 'This core ships nothing for this reason, which does not concern the hosts; it is null otherwise.',
  })
  readonly refusal!: NotReplicated | null;

  @Field(() => [Host], { description: 'These are all hosts that a policy has named, in the order of their URLs.' })
  readonly hosts!: readonly Host[];

  @Field(() => [UnmetHost], {
    description:
      'These URLs are configured but not in the policy: the host was not met yet, or answers with another key.',
  })
  readonly unmet!: readonly UnmetHost[];
}

@ObjectType({
  description:
    'This object shows the replication of the events of a mission itself, without those of its tasks and jobs.',
})
export class MissionReplication {
  @Field(() => MissionReplicationStateEnum, {
    description: 'This is REPLICATED once a quorum has signed for every event of the mission.',
  })
  readonly state!: MissionReplicationState;

  @Field(() => Int, { description: 'No quorum has signed for this many events of the mission yet.' })
  readonly pending!: number;

  @Field(() => Int, { description: 'A quorum has signed for this many events of the mission.' })
  readonly acknowledged!: number;

  @Field(() => Int, { description: 'Hosts of this total weight must sign for an event, by the policy in force.' })
  readonly requiredAcks!: number;
}

/** The payload of a mutation of a host. */
@ObjectType()
export abstract class HostPayload extends ChangePayload {
  @Field(() => Host, { description: 'This is the host after the mutation.' })
  readonly host!: Host;
}

@ObjectType({ description: 'The host is retried.' })
export class RetryHostPayload extends HostPayload {}

@ObjectType({ description: 'The host has the requested state.' })
export class SetHostStatePayload extends HostPayload {}

@ObjectType({ description: 'The key of the host is confirmed.' })
export class ConfirmHostPayload extends HostPayload {}

@ObjectType({ description: 'A key epoch has begun.' })
export class RotateKeyPayload extends ChangePayload {
  @Field(() => Int, { description: 'This is the number of the key epoch that has begun.' })
  readonly keyEpoch!: number;
}

/** The result of `retryHost`. */
export const RetryHostResult = resultOf(
  'RetryHostResult',
  RetryHostPayload,
  NotFound,
  HostStateProblem,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

/** The result of `setHostState`. */
export const SetHostStateResult = resultOf(
  'SetHostStateResult',
  SetHostStatePayload,
  InvalidInput,
  NotFound,
  HostStateProblem,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

/** The result of `confirmHost`. */
export const ConfirmHostResult = resultOf(
  'ConfirmHostResult',
  ConfirmHostPayload,
  NotFound,
  HostStateProblem,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

@ObjectType({ description: 'A line begins with the next policy.' })
export class BeginLinePayload extends ChangePayload {
  @Field(() => Int, {
    description: 'The line with this number begins with the next policy, which the core sets automatically.',
  })
  readonly line!: number;
}

@ObjectType({ description: 'This core claims the hosts again.' })
export class ResumeWriterPayload extends ChangePayload {}

/** The result of `beginLine`. */
export const BeginLineResult = resultOf(
  'BeginLineResult',
  BeginLinePayload,
  InvalidInput,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

/** The result of `resumeWriter`. */
export const ResumeWriterResult = resultOf(
  'ResumeWriterResult',
  ResumeWriterPayload,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

/** The result of `rotateKey`. */
export const RotateKeyResult = resultOf(
  'RotateKeyResult',
  RotateKeyPayload,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);
