import { Arg, Authorized, Ctx, ID, Query, Resolver } from 'type-graphql';
import type { ApiContext } from '../kit/context.js';
import { Node } from '../kit/entity.js';
import { jobById, missionById, taskById } from './by-id.js';

/** The query for any object by its identifier. */
@Authorized('viewer')
@Resolver()
export class NodeQueries {
  @Query(() => Node, {
    nullable: true,
    description: 'This returns the mission, task or job with an identifier, or null when none has it.',
  })
  async node(
    @Arg('id', () => ID, { description: 'This identifies the object.' }) id: string,
    @Ctx() context: ApiContext,
  ): Promise<Node | null> {
    const [mission, task, job] = await Promise.all([
      missionById(context, id),
      taskById(context, id),
      jobById(context, id),
    ]);
    return mission ?? task ?? job;
  }
}
