import { Field, ID, InputType, Int, InterfaceType, ObjectType } from 'type-graphql';
import type { Durability } from '../../services/core-services.js';
import { ConsistencyEnum } from './consistency.js';
import { DateTimeScalar, PositionScalar } from './scalars.js';

const IDEMPOTENCY_KEY =
  'A mutation that is repeated with the same key (1–200 characters) and the same input returns the first result, if that changed anything. By default, a repetition is a new request.';

@InterfaceType({ description: 'A Node is an object with an identifier: a mission, a task or a job.' })
export abstract class Node {
  @Field(() => ID, { description: '`node(id)` returns the object with this identifier.' })
  readonly id!: string;
}

/** The fields that missions, tasks and jobs have in common. */
@ObjectType()
export abstract class Entity extends Node {
  @Field(() => DateTimeScalar, { description: 'This is the time of the command that created the object.' })
  readonly createdAt!: string;

  @Field(() => DateTimeScalar, { description: 'This is the time of the command that changed the object last.' })
  readonly updatedAt!: string;

  @Field(() => Int, {
    description:
      'This counts the changes of the object since its creation, from 0. A mutation accepts it as `expectedRevision`.',
  })
  readonly revision!: number;

  @Field(() => PositionScalar, { description: 'This is the position of the last change of the object.' })
  readonly position!: string;
}

/** The fields of the payload of a mutation that appends to the log. */
@ObjectType()
export abstract class ChangePayload {
  @Field(() => PositionScalar, {
    description:
      'A query with this position as `at:` shows the change; a subscription with it as `after:` continues after the change.',
  })
  readonly position!: string;

  @Field(() => ConsistencyEnum, { description: 'The change has reached this level of durability.' })
  readonly durability!: Durability;
}

/** An input of a mutation that can be sent again safely. */
@InputType()
export abstract class RepeatableInput {
  @Field(() => String, { nullable: true, description: IDEMPOTENCY_KEY })
  readonly idempotencyKey?: string | null;
}

/** An input of a mutation that changes an object. */
@InputType()
export abstract class ChangeInput extends RepeatableInput {
  @Field(() => ID, { description: 'The mutation changes the object with this identifier.' })
  readonly id!: string;

  @Field(() => Int, {
    nullable: true,
    description:
      'The object must be at this revision; otherwise the result is a ConcurrencyConflict. The default is any revision.',
  })
  readonly expectedRevision?: number | null;
}
