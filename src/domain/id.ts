declare const brand: unique symbol;

/** Identifies a mission. */
export type MissionId = string & { readonly [brand]?: 'mission' };
/** Identifies a task. */
export type TaskId = string & { readonly [brand]?: 'task' };
/** Identifies a job. */
export type JobId = string & { readonly [brand]?: 'job' };

/** The longest id, in characters. UUIDs have 36. */
export const MAX_ID_LENGTH = 64;

const ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]*$/;

/** Whether a text may name a mission, a task or a job: 1–64 characters of letters, digits and `-_.:`. */
export function isId(text: string): boolean {
  return text.length <= MAX_ID_LENGTH && ID.test(text);
}

/** The stream of one aggregate; its category is what stands before the first `-`. */
export const missionStream = (id: MissionId): string => `mission-${id}`;
export const taskStream = (id: TaskId): string => `task-${id}`;
export const jobStream = (id: JobId): string => `job-${id}`;
