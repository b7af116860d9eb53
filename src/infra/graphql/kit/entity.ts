import { Field, ID, InputType, Int, InterfaceType, ObjectType } from 'type-graphql';
import type { Durability } from '../../services/core-services.js';
import { ConsistencyEnum } from './consistency.js';
import { DateTimeScalar, PositionScalar } from './scalars.js';

/** What has an id that `node` finds it by. */
@InterfaceType({ description: 'Anything with an id of its own.' })
export abstract class Node {
  @Field(() => ID)
  readonly id!: string;
}

/** What missions, tasks and jobs have alike. */
@ObjectType()
export abstract class Entity extends Node {
  @Field(() => DateTimeScalar)
  readonly createdAt!: string;

  @Field(() => DateTimeScalar)
  readonly updatedAt!: string;

  @Field(() => Int, { description: 'How many changes it has seen, from 0; give it as `expectedRevision`.' })
  readonly revision!: number;

  @Field(() => PositionScalar, { description: 'Where in the log it changed last.' })
  readonly position!: string;
}

/** What a mutation answers when it has changed something. */
@ObjectType()
export abstract class ChangePayload {
  @Field(() => PositionScalar, { description: 'Give it as `at:` or `after:` to see this change.' })
  readonly position!: string;

  @Field(() => ConsistencyEnum, { description: 'How durable the change is by now.' })
  readonly durability!: Durability;
}

/** An input of a mutation that may be sent again. */
@InputType()
export abstract class RepeatableInput {
  @Field(() => String, { nullable: true, description: 'Makes it safe to send again.' })
  readonly idempotencyKey?: string | null;
}

/** An input of a mutation that changes what is there. */
@InputType()
export abstract class ChangeInput extends RepeatableInput {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => Int, { nullable: true, description: 'The revision you have seen; anything else is a conflict.' })
  readonly expectedRevision?: number | null;
}
