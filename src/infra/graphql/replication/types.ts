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

@ObjectType({ description: 'By what a host has proven itself dishonest. Both sides: `sheratan hosts evidence`.' })
export class HostProof {
  @Field(() => ProofKindEnum)
  readonly kind!: ProofKind;

  @Field(() => DateTimeScalar)
  readonly at!: string;
}

@ObjectType({ description: 'Events that a host keeps without their counting yet: this core is not elected.' })
export class StagedEvents {
  @Field(() => ID, { description: 'The fingerprint of the host.' })
  readonly host!: string;

  @Field(() => Int, { description: 'It keeps the first so many events.' })
  readonly events!: number;
}

@ObjectType({ description: 'A storage host: what the log knows of it, and how this core gets on with it.' })
export class Host {
  @Field(() => ID, { description: 'The fingerprint of its verify key.' })
  readonly id!: string;

  @Field(() => String, { description: 'Host and port of its URL.' })
  readonly name!: string;

  @Field(() => String)
  readonly url!: string;

  @Field(() => HostStateEnum)
  readonly state!: HostState;

  @Field(() => String, { description: 'Why it is in that state; empty when nobody said.' })
  readonly why!: string;

  @Field(() => Boolean, { description: 'Whether somebody vouched for its key; otherwise it is that of first contact.' })
  readonly confirmed!: boolean;

  @Field(() => Int, { description: '0 when the latest policy does not name it.' })
  readonly weight!: number;

  @Field(() => Int, { description: 'It has signed for every event up to here.' })
  readonly sequence!: number;

  @Field(() => Int, { description: 'How many events it has not signed for.' })
  readonly behind!: number;

  @Field(() => DateTimeScalar, { nullable: true })
  readonly lastAcknowledgedAt!: string | null;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether the last try came to something; null when this core is not the one that replicates.',
  })
  readonly reached!: boolean | null;

  @Field(() => String, { nullable: true, description: 'What went wrong last, until it goes well again.' })
  readonly lastError!: string | null;

  @Field(() => Int, {
    nullable: true,
    description: 'How many events it says are damaged there; null when this core has not heard it.',
  })
  readonly damaged!: number | null;

  @Field(() => HostProof, { nullable: true, description: 'Null unless it is suspended for that.' })
  readonly proof!: HostProof | null;

  @Field(() => Float, { nullable: true, description: 'What the broker thinks of it, 0–1; null when it did not say.' })
  readonly score!: number | null;
}

@ObjectType({ description: 'Why this core takes no more commands.' })
export class ReplicationStop {
  @Field(() => StopCodeEnum)
  readonly code!: HaltReason['code'];

  @Field(() => String)
  readonly message!: string;
}

@ObjectType({ description: 'A configured URL that counts for nothing yet.' })
export class UnmetHost {
  @Field(() => String)
  readonly url!: string;

  @Field(() => String, { nullable: true, description: 'Why; null when this core has not tried it.' })
  readonly trouble!: string | null;
}

@ObjectType({ description: 'How far replication has got, and what is in its way.' })
export class ReplicationStatus {
  @Field(() => Boolean)
  readonly enabled!: boolean;

  @Field(() => String, {
    nullable: true,
    description: 'What this core is called on the hosts; null where nothing is, or was, replicated.',
  })
  readonly origin!: string | null;

  @Field(() => Int, {
    description:
      'How often a loss was accepted or a line begun, plus 1. What was at quorum in older lines binds no more.',
  })
  readonly line!: number;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'Whether hosts enough have shown that nothing newer than this log exists: nothing counts before. Null when this core is not the one that replicates.',
  })
  readonly elected!: boolean | null;

  @Field(() => Int, {
    nullable: true,
    description: 'The weight of hosts that must still be heard before this core is elected; 0 once it is.',
  })
  readonly missingWeight!: number | null;

  @Field(() => Int, {
    nullable: true,
    description:
      'The weight of the hosts heard that may lie, forget or have been put back without harm; null while too few are heard.',
  })
  readonly mayLie!: number | null;

  @Field(() => [StagedEvents], { description: 'What hosts keep until this core is elected.' })
  readonly staged!: readonly StagedEvents[];

  @Field(() => Int, { description: 'Counts the processes that have written; 0 before the first.' })
  readonly writerEpoch!: number;

  @Field(() => Int, { description: 'Counts the keys there were; 0 before the first.' })
  readonly keyEpoch!: number;

  @Field(() => Int, { nullable: true, description: 'Of the policy in force; null before the first.' })
  readonly policyVersion!: number | null;

  @Field(() => Int, { description: 'The weight of hosts that must have signed, by the policy in force.' })
  readonly requiredAcks!: number;

  @Field(() => Int, { description: 'The number of the last replicated event.' })
  readonly headSequence!: number;

  @Field(() => Int, { description: 'A quorum has signed for every event up to here.' })
  readonly quorumSequence!: number;

  @Field(() => Int)
  readonly pending!: number;

  @Field(() => Int)
  readonly completed!: number;

  @Field(() => Float, { description: 'The age of the oldest pending event; 0 when none is, or nothing is replicated.' })
  readonly lagSeconds!: number;

  @Field(() => Boolean, {
    description:
      'Something keeps events from some host: replication has stopped or is refused, there is no policy, a URL is unmet, or a host of the latest policy is not ACTIVE, is not reached, or has not signed for an event older than 10 s.',
  })
  readonly degraded!: boolean;

  @Field(() => ReplicationStop, { nullable: true, description: 'Why this core takes no more commands.' })
  readonly stopped!: ReplicationStop | null;

  @Field(() => RefusalCodeEnum, {
    nullable: true,
    description: 'Why nothing is shipped, though nothing is wrong with the hosts.',
  })
  readonly refusal!: NotReplicated | null;

  @Field(() => [Host], { description: 'By URL.' })
  readonly hosts!: readonly Host[];

  @Field(() => [UnmetHost], { description: 'Configured, but not in the policy: not met yet, or another than it was.' })
  readonly unmet!: readonly UnmetHost[];
}

@ObjectType({ description: 'How far the events of a mission itself have got; those of its tasks and jobs are others.' })
export class MissionReplication {
  @Field(() => MissionReplicationStateEnum)
  readonly state!: MissionReplicationState;

  @Field(() => Int, { description: 'How many of its events no quorum has signed for yet.' })
  readonly pending!: number;

  @Field(() => Int, { description: 'How many of its events a quorum has signed for.' })
  readonly acknowledged!: number;

  @Field(() => Int, { description: 'The weight of hosts that must have signed, by the policy in force.' })
  readonly requiredAcks!: number;
}

/** What a mutation of a host answers. */
@ObjectType()
export abstract class HostPayload extends ChangePayload {
  @Field(() => Host)
  readonly host!: Host;
}

@ObjectType()
export class RetryHostPayload extends HostPayload {}

@ObjectType()
export class SetHostStatePayload extends HostPayload {}

@ObjectType()
export class ConfirmHostPayload extends HostPayload {}

@ObjectType()
export class RotateKeyPayload extends ChangePayload {
  @Field(() => Int, { description: 'The key epoch that has begun.' })
  readonly keyEpoch!: number;
}

export const RetryHostResult = resultOf(
  'RetryHostResult',
  RetryHostPayload,
  NotFound,
  HostStateProblem,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

export const SetHostStateResult = resultOf(
  'SetHostStateResult',
  SetHostStatePayload,
  InvalidInput,
  NotFound,
  HostStateProblem,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

export const ConfirmHostResult = resultOf(
  'ConfirmHostResult',
  ConfirmHostPayload,
  NotFound,
  HostStateProblem,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

@ObjectType()
export class BeginLinePayload extends ChangePayload {
  @Field(() => Int, { description: 'The line that begins with the next policy, which follows.' })
  readonly line!: number;
}

@ObjectType()
export class ResumeWriterPayload extends ChangePayload {}

export const BeginLineResult = resultOf(
  'BeginLineResult',
  BeginLinePayload,
  InvalidInput,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

export const ResumeWriterResult = resultOf(
  'ResumeWriterResult',
  ResumeWriterPayload,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);

export const RotateKeyResult = resultOf(
  'RotateKeyResult',
  RotateKeyPayload,
  ReplicationIsDisabled,
  ReplicationStateProblem,
);
