import type { ApiContext } from '../kit/context.js';
import { jobFromRow, type Job } from './job-types.js';
import { missionFromRow, type Mission } from './mission-types.js';
import { taskFromRow, type Task } from './task-types.js';

/** The mission with an id, as the read model has it; null when no mission has the id. */
export async function missionById({ services, loaders }: ApiContext, id: string): Promise<Mission | null> {
  const row = await loaders.mission.load(id);
  return row === undefined ? null : missionFromRow(row, services);
}

/** The task with an id, as the read model has it; null when no task has the id. */
export async function taskById({ services, loaders }: ApiContext, id: string): Promise<Task | null> {
  const row = await loaders.task.load(id);
  return row === undefined ? null : taskFromRow(row, services);
}

/** The job with an id, as the read model has it; null when no job has the id. */
export async function jobById({ services, loaders }: ApiContext, id: string): Promise<Job | null> {
  const row = await loaders.job.load(id);
  return row === undefined ? null : jobFromRow(row, services);
}
