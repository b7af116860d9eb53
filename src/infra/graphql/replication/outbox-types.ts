import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import type { Entry, EntryFilter, EntryStatus } from '../../readmodels/outbox/entry-queries.js';
import { connectionOf } from '../kit/connection.js';
import { DateTimeScalar, PositionScalar } from '../kit/scalars.js';
import { OutboxStatusEnum } from './enums.js';

@ObjectType({ description: 'This object shows a replicated event, and how many hosts have signed for it.' })
export class OutboxEntry implements Entry {
  @Field(() => ID, {
    description: 'This is the sequence of the event: 1, 2, 3 … in log order, the same on every host.',
  })
  readonly id!: string;

  @Field(() => String, { description: 'The event belongs to the stream with this name, such as `mission-<id>`.' })
  readonly key!: string;

  @Field(() => Int, { description: 'This is the number of the type of the event.' })
  readonly etype!: number;

  @Field(() => OutboxStatusEnum, { description: 'This shows whether a quorum has signed for the event.' })
  readonly status!: EntryStatus;

  @Field(() => Int, { description: 'Hosts of this total weight must sign, by the policy in force.' })
  readonly requiredAcks!: number;

  @Field(() => Int, { description: 'Hosts of this total weight, by the policy in force, have signed.' })
  readonly acks!: number;

  @Field(() => PositionScalar, { description: 'This is the position of the event in the log.' })
  readonly position!: string;

  @Field(() => ID, { description: 'This UUID identifies the event.' })
  readonly eventId!: string;

  @Field(() => Int, { description: 'The data and metadata of the event have this size in bytes, as JSON.' })
  readonly bytes!: number;

  @Field(() => DateTimeScalar, { description: 'This is the time of the command that led to the event.' })
  readonly createdAt!: string;

  @Field(() => DateTimeScalar, {
    nullable: true,
    description: 'At this time it was recorded that a quorum has signed; it is null while the event is PENDING.',
  })
  readonly completedAt!: string | null;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class OutboxFilter implements EntryFilter {
  @Field(() => OutboxStatusEnum, { nullable: true, description: 'The event has this status. The default is any.' })
  readonly status?: EntryStatus | null;

  @Field(() => [Int], {
    nullable: true,
    description: 'The event has one of these types, by their numbers; at most 100. The default is any.',
  })
  readonly etypes?: readonly number[] | null;

  @Field(() => String, {
    nullable: true,
    description: 'The event belongs to this stream, such as `mission-<id>`. The default is any.',
  })
  readonly key?: string | null;
}

/** A page of replicated events. */
export const OutboxEntryConnection = connectionOf('OutboxEntry', OutboxEntry);
