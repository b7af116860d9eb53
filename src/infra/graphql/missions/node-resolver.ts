import { Arg, Authorized, Ctx, ID, Query, Resolver } from 'type-graphql';
import type { ApiContext } from '../kit/context.js';
import { Node } from '../kit/entity.js';
import { jobFromRow } from './job-types.js';
import { missionFromRow } from './mission-types.js';
import { taskFromRow } from './task-types.js';

@Authorized('viewer')
@Resolver()
export class NodeQueries {
  @Query(() => Node, { nullable: true, description: 'A mission, task or job by its id.' })
  async node(@Arg('id', () => ID) id: string, @Ctx() { services, loaders }: ApiContext): Promise<Node | null> {
    const token = (position: string) => services.token(position);
    const [mission, task, job] = await Promise.all([
      loaders.mission.load(id),
      loaders.task.load(id),
      loaders.job.load(id),
    ]);
    if (mission !== undefined) return missionFromRow(mission, token);
    if (task !== undefined) return taskFromRow(task, token);
    return job === undefined ? null : jobFromRow(job, token);
  }
}
