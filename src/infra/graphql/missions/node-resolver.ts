import { Arg, Authorized, Ctx, ID, Query, Resolver } from 'type-graphql';
import type { ApiContext } from '../kit/context.js';
import { Node } from '../kit/entity.js';
import { jobById, missionById, taskById } from './by-id.js';

@Authorized('viewer')
@Resolver()
export class NodeQueries {
  @Query(() => Node, { nullable: true, description: 'A mission, task or job by its id.' })
  async node(@Arg('id', () => ID) id: string, @Ctx() context: ApiContext): Promise<Node | null> {
    const [mission, task, job] = await Promise.all([
      missionById(context, id),
      taskById(context, id),
      jobById(context, id),
    ]);
    return mission ?? task ?? job;
  }
}
