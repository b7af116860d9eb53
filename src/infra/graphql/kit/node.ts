import { Field, ID, InterfaceType } from 'type-graphql';

/** What has an id that `node` finds it by. */
@InterfaceType({ description: 'Anything with an id of its own.' })
export abstract class Node {
  @Field(() => ID)
  readonly id!: string;
}
