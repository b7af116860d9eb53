import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import type { Entry, EntryFilter, EntryStatus } from '../../readmodels/outbox/entry-queries.js';
import { connectionOf } from '../kit/connection.js';
import { DateTimeScalar, PositionScalar } from '../kit/scalars.js';
import { OutboxStatusEnum } from './enums.js';

@ObjectType({ description: 'A replicated event, and how far it has got.' })
export class OutboxEntry implements Entry {
  @Field(() => ID, { description: 'Its number: 1, 2, 3 … in log order, the same on every host.' })
  readonly id!: string;

  @Field(() => String, { description: 'The stream it belongs to.' })
  readonly key!: string;

  @Field(() => Int, { description: "The number of the event's type." })
  readonly etype!: number;

  @Field(() => OutboxStatusEnum)
  readonly status!: EntryStatus;

  @Field(() => Int, { description: 'The weight of hosts that must have signed, by the policy in force.' })
  readonly requiredAcks!: number;

  @Field(() => Int, { description: 'The weight of hosts of the policy in force that have signed.' })
  readonly acks!: number;

  @Field(() => PositionScalar)
  readonly position!: string;

  @Field(() => ID)
  readonly eventId!: string;

  @Field(() => Int, { description: 'Of its data and metadata as JSON.' })
  readonly bytes!: number;

  @Field(() => DateTimeScalar)
  readonly createdAt!: string;

  @Field(() => DateTimeScalar, { nullable: true, description: 'When it was recorded that a quorum has signed for it.' })
  readonly completedAt!: string | null;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class OutboxFilter implements EntryFilter {
  @Field(() => OutboxStatusEnum, { nullable: true })
  readonly status?: EntryStatus | null;

  @Field(() => [Int], { nullable: true, description: 'Of one of these types, by their numbers.' })
  readonly etypes?: readonly number[] | null;

  @Field(() => String, { nullable: true, description: 'Of this stream, such as `mission-<id>`.' })
  readonly key?: string | null;
}

export const OutboxEntryConnection = connectionOf('OutboxEntry', OutboxEntry);
