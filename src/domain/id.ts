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

/** Whether a text is a valid id: 1–64 letters, digits and `-_.:`, of which the first is a letter or digit. */
export function isId(text: string): boolean {
  return text.length <= MAX_ID_LENGTH && ID.test(text);
}

/** The stream of a mission. */
export const missionStream = (id: MissionId): string => `mission-${id}`;
/** The stream of a task. */
export const taskStream = (id: TaskId): string => `task-${id}`;
/** The stream of a job. */
export const jobStream = (id: JobId): string => `job-${id}`;
