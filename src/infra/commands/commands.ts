import { jobStream, missionStream, taskStream, type JobId, type MissionId, type TaskId } from '../../domain/id.js';
import { DEFAULT_MAX_ATTEMPTS, job, type JobState } from '../../domain/job.js';
import type { Json, JsonObject } from '../../domain/json.js';
import {
  mission,
  type MissionFields,
  type MissionState,
  type Outcome as MissionOutcome,
} from '../../domain/mission.js';
import { task, type TaskFields, type TaskState } from '../../domain/task.js';
import { derivedId, newId } from '../platform/ids.js';
import { type CommandContext, inputHash } from './context.js';
import type { CommandHandler, Outcome } from './handler.js';
import type { Loaded } from './states.js';

/** The input for a new mission; `id` only when the caller chose one. */
export type NewMission = Partial<MissionFields> & { readonly id?: MissionId; readonly title: string };

/** The input for a new task. */
export type NewTask = Partial<TaskFields> & {
  readonly id?: TaskId;
  readonly missionId: MissionId;
  readonly name: string;
};

/** The input for a new job. */
export interface NewJob {
  readonly id?: JobId;
  readonly taskId: TaskId;
  /** By default the task's kind. */
  readonly kind?: string | undefined;
  readonly payload?: JsonObject | undefined;
  readonly priority?: number | undefined;
  readonly maxAttempts?: number | undefined;
}

/** The attempt that a worker answers for. */
export interface JobAnswer {
  readonly jobId: JobId;
  readonly worker: string;
  readonly attempt: number;
}

/** The default kind of a task, and of a job whose task does not exist. */
export const DEFAULT_KIND = 'general';

/** Every command on missions, tasks and jobs, for every entry point: GraphQL, REST, import and processes. */
export class Commands {
  readonly #handler: CommandHandler;

  constructor(handler: CommandHandler) {
    this.#handler = handler;
  }

  createMission(input: NewMission, context: CommandContext): Promise<Outcome<MissionState>> {
    const missionId = input.id ?? this.#idFor('CreateMission', context);
    const { title, description = '', metadata = {}, tags = [] } = input;
    const order = {
      decider: mission,
      stream: missionStream(missionId),
      hash: hashOf(input, context),
      isNew: input.id === undefined && context.idempotencyKey === undefined,
      command: () => ({ type: 'CreateMission', missionId, title, description, metadata, tags }) as const,
    };
    return this.#handler.execute(order, context);
  }

  updateMission(
    missionId: MissionId,
    changes: Partial<MissionFields>,
    context: CommandContext,
  ): Promise<Outcome<MissionState>> {
    const order = {
      decider: mission,
      stream: missionStream(missionId),
      hash: hashOf({ missionId, changes }, context),
      command: () => ({ type: 'UpdateMission', missionId, changes }) as const,
    };
    return this.#handler.execute(order, context);
  }

  closeMission(
    missionId: MissionId,
    outcome: MissionOutcome,
    reason: string,
    context: CommandContext,
  ): Promise<Outcome<MissionState>> {
    const order = {
      decider: mission,
      stream: missionStream(missionId),
      hash: hashOf({ missionId, outcome, reason }, context),
      command: () => ({ type: 'CloseMission', missionId, outcome, reason }) as const,
    };
    return this.#handler.execute(order, context);
  }

  async createTask(input: NewTask, context: CommandContext): Promise<Outcome<TaskState>> {
    const taskId = input.id ?? this.#idFor('CreateTask', context);
    const { missionId, name, description = '', kind = DEFAULT_KIND, params = {} } = input;
    const { state } = await this.#handler.load(mission, missionStream(missionId));
    const order = {
      decider: task,
      stream: taskStream(taskId),
      hash: hashOf(input, context),
      isNew: input.id === undefined && context.idempotencyKey === undefined,
      command: () =>
        ({ type: 'CreateTask', taskId, missionId, mission: state, name, description, kind, params }) as const,
    };
    return this.#handler.execute(order, context);
  }

  async updateTask(taskId: TaskId, changes: Partial<TaskFields>, context: CommandContext): Promise<Outcome<TaskState>> {
    const { state } = await this.#handler.load(task, taskStream(taskId));
    const parent = await this.#missionOf(state);
    const order = {
      decider: task,
      stream: taskStream(taskId),
      hash: hashOf({ taskId, changes }, context),
      command: () => ({ type: 'UpdateTask', taskId, mission: parent, changes }) as const,
    };
    return this.#handler.execute(order, context);
  }

  async createJob(input: NewJob, context: CommandContext): Promise<Outcome<JobState>> {
    const jobId = input.id ?? this.#idFor('CreateJob', context);
    const { taskId, payload = {}, priority = 0, maxAttempts = DEFAULT_MAX_ATTEMPTS } = input;
    const { state: parent } = await this.#handler.load(task, taskStream(taskId));
    const grandparent = await this.#missionOf(parent);
    const kind = input.kind ?? (parent.status === 'ABSENT' ? DEFAULT_KIND : parent.kind);
    const fields = { jobId, taskId, task: parent, mission: grandparent, kind, payload, priority, maxAttempts };
    const order = {
      decider: job,
      stream: jobStream(jobId),
      hash: hashOf(input, context),
      isNew: input.id === undefined && context.idempotencyKey === undefined,
      command: () => ({ type: 'CreateJob', ...fields }) as const,
    };
    return this.#handler.execute(order, context);
  }

  dispatchJob(
    jobId: JobId,
    worker: string,
    leaseSeconds: number,
    hash: string,
    context: CommandContext,
  ): Promise<Outcome<JobState>> {
    const order = {
      decider: job,
      stream: jobStream(jobId),
      hash,
      command: (at: string) => ({ type: 'DispatchJob', jobId, worker, leaseSeconds, at }) as const,
    };
    return this.#handler.execute(order, context);
  }

  completeJob(
    answer: JobAnswer,
    result: Json,
    cost: number | undefined,
    context: CommandContext,
  ): Promise<Outcome<JobState>> {
    const { jobId, worker, attempt } = answer;
    const order = {
      decider: job,
      stream: jobStream(jobId),
      hash: hashOf({ jobId, worker, attempt, result, cost }, context),
      command: () =>
        ({ type: 'CompleteJob', jobId, worker, attempt, result, ...(cost === undefined ? {} : { cost }) }) as const,
    };
    return this.#handler.execute(order, context);
  }

  failJob(
    answer: JobAnswer,
    failure: { readonly reason: string; readonly message: string; readonly retryable: boolean },
    context: CommandContext,
  ): Promise<Outcome<JobState>> {
    const { jobId, worker, attempt } = answer;
    const order = {
      decider: job,
      stream: jobStream(jobId),
      hash: hashOf({ jobId, worker, attempt, ...failure }, context),
      command: () => ({ type: 'FailJob', jobId, worker, attempt, ...failure }) as const,
    };
    return this.#handler.execute(order, context);
  }

  /** Records that the lease of an attempt has run out; changes nothing when it has not, or when the attempt has ended. */
  expireLease(jobId: JobId, attempt: number, context: CommandContext): Promise<Outcome<JobState>> {
    const order = {
      decider: job,
      stream: jobStream(jobId),
      hash: hashOf({ jobId, attempt }, context),
      command: (at: string) => ({ type: 'ExpireLease', jobId, attempt, at }) as const,
    };
    return this.#handler.execute(order, context);
  }

  cancelJob(jobId: JobId, reason: string, context: CommandContext): Promise<Outcome<JobState>> {
    const order = {
      decider: job,
      stream: jobStream(jobId),
      hash: hashOf({ jobId, reason }, context),
      command: () => ({ type: 'CancelJob', jobId, reason }) as const,
    };
    return this.#handler.execute(order, context);
  }

  /** The current state of a job in the log. */
  async currentJob(jobId: JobId): Promise<Loaded<JobState>> {
    return this.#handler.load(job, jobStream(jobId));
  }

  async #missionOf(parent: TaskState): Promise<MissionState> {
    if (parent.status === 'ABSENT') return mission.initial;
    return (await this.#handler.load(mission, missionStream(parent.missionId))).state;
  }

  /** With an idempotency key, a repeated command gets the same id. */
  #idFor(command: string, { actor, idempotencyKey }: CommandContext): string {
    return idempotencyKey === undefined ? newId() : derivedId(actor, idempotencyKey, command);
  }
}

function hashOf(input: object, { idempotencyKey }: CommandContext): string {
  return idempotencyKey === undefined ? '' : inputHash(input);
}
