import { changed } from './changes.js';
import { accept, refuse, unreachable, type Decider } from './decider.js';
import type { Fact } from './event.js';
import type { MissionId, TaskId } from './id.js';
import type { JsonObject } from './json.js';
import type { MissionState } from './mission.js';
import { newerEvent } from './newer-event.js';
import { alreadyExists, missionClosed, notFound, type Problem } from './problem.js';
import { Checks, LIMITS } from './rules.js';

/** The fields of a task that a command can change. */
export type TaskFields = {
  readonly name: string;
  readonly description: string;
  readonly kind: string;
  readonly params: JsonObject;
};

/** What can happen to a task. */
export type TaskFact =
  | Fact<'TaskCreated', TaskFields & { readonly taskId: TaskId; readonly missionId: MissionId }>
  | Fact<'TaskUpdated', Partial<TaskFields> & { readonly taskId: TaskId; readonly missionId: MissionId }>;

/** The commands on a task. Both carry the mission as read before the command, because a decider sees only one stream. */
export type TaskCommand =
  | ({
      readonly type: 'CreateTask';
      readonly taskId: TaskId;
      readonly missionId: MissionId;
      readonly mission: MissionState;
    } & TaskFields)
  | {
      readonly type: 'UpdateTask';
      readonly taskId: TaskId;
      readonly mission: MissionState;
      readonly changes: Partial<TaskFields>;
    };

/** The state of a task, folded from its events; ABSENT before it is created. */
export type TaskState =
  | { readonly status: 'ABSENT' }
  | (TaskFields & {
      readonly status: 'PRESENT';
      readonly taskId: TaskId;
      readonly missionId: MissionId;
      readonly createdAt: string;
      readonly updatedAt: string;
    });

/** A task that exists. */
export type Task = Exclude<TaskState, { status: 'ABSENT' }>;

/** Tasks: parts of an open mission. */
export const task: Decider<TaskCommand, TaskFact, TaskState> = {
  initial: { status: 'ABSENT' },

  decide(state, command) {
    const problem = check(command);
    if (problem !== undefined) return refuse(problem);
    switch (command.type) {
      case 'CreateTask': {
        if (state.status !== 'ABSENT') return refuse(alreadyExists('Task', command.taskId));
        const barred = missionBars(command.mission, command.missionId);
        if (barred !== undefined) return refuse(barred);
        const { taskId, missionId, name, description, kind, params } = command;
        return accept({ type: 'TaskCreated', data: { taskId, missionId, name, description, kind, params } });
      }
      case 'UpdateTask': {
        if (state.status === 'ABSENT') return refuse(notFound('Task', command.taskId));
        const { taskId, missionId } = state;
        const barred = missionBars(command.mission, missionId);
        if (barred !== undefined) return refuse(barred);
        const changes = changed<TaskFields>(state, command.changes);
        if (Object.keys(changes).length === 0) return accept();
        return accept({ type: 'TaskUpdated', data: { taskId, missionId, ...changes } });
      }
      default:
        return unreachable(command);
    }
  },

  evolve(state, event) {
    const at = event.metadata.at;
    switch (event.type) {
      case 'TaskCreated': {
        if (state.status !== 'ABSENT') return state;
        const { taskId, missionId, name, description, kind, params } = event.data;
        return { status: 'PRESENT', taskId, missionId, name, description, kind, params, createdAt: at, updatedAt: at };
      }
      case 'TaskUpdated': {
        if (state.status === 'ABSENT') return state;
        const { taskId: _task, missionId: _mission, ...changes } = event.data;
        return { ...state, ...changes, updatedAt: at };
      }
      default:
        return newerEvent(event);
    }
  },
};

/** Why a mission accepts no tasks and no jobs: it does not exist, or is closed; undefined when it accepts them. */
export function missionBars(mission: MissionState, id: MissionId): Problem | undefined {
  if (mission.status === 'ABSENT') return notFound('Mission', id);
  return mission.status === 'OPEN' ? undefined : missionClosed(id, mission.status);
}

function check(command: TaskCommand) {
  const checks = new Checks().id('id', command.taskId);
  const fields = command.type === 'CreateTask' ? command : command.changes;
  if (command.type === 'CreateTask') checks.id('missionId', command.missionId);
  if (fields.name !== undefined) checks.text('name', fields.name, 1, LIMITS.nameLength);
  if (fields.description !== undefined) checks.text('description', fields.description, 0, LIMITS.descriptionLength);
  if (fields.kind !== undefined) checks.text('kind', fields.kind, 1, LIMITS.kindLength);
  if (fields.params !== undefined) checks.json('params', fields.params, LIMITS.metadataBytes);
  return checks.problem();
}
