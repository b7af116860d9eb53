import { changed } from './changes.js';
import { accept, refuse, unreachable, type Decider, type Recorded } from './decider.js';
import type { Fact } from './event.js';
import type { MissionId } from './id.js';
import type { JsonObject } from './json.js';
import { newerEvent } from './newer-event.js';
import { alreadyExists, missionClosed, notFound } from './problem.js';
import { Checks, LIMITS } from './rules.js';

/** The ways in which a mission can end. */
export const OUTCOMES = ['COMPLETED', 'FAILED', 'CANCELLED'] as const;
/** How a mission ended. */
export type Outcome = (typeof OUTCOMES)[number];

/** A mission is OPEN until it is closed; then its outcome is its status permanently. */
export type MissionStatus = 'OPEN' | Outcome;

/** The fields of a mission that a command can change. */
export type MissionFields = {
  readonly title: string;
  readonly description: string;
  readonly metadata: JsonObject;
  readonly tags: readonly string[];
};

/** What can happen to a mission. */
export type MissionFact =
  | Fact<'MissionCreated', MissionFields & { readonly missionId: MissionId }>
  | Fact<'MissionUpdated', Partial<MissionFields> & { readonly missionId: MissionId }>
  | Fact<'MissionClosed', { readonly missionId: MissionId; readonly outcome: Outcome; readonly reason: string }>;

/** A recorded event of a mission. */
export type MissionEvent = Recorded<MissionFact>;

/** The commands on a mission. */
export type MissionCommand =
  | ({ readonly type: 'CreateMission'; readonly missionId: MissionId } & MissionFields)
  | { readonly type: 'UpdateMission'; readonly missionId: MissionId; readonly changes: Partial<MissionFields> }
  | {
      readonly type: 'CloseMission';
      readonly missionId: MissionId;
      readonly outcome: Outcome;
      readonly reason: string;
    };

/** The state of a mission, folded from its events; ABSENT before it is created. */
export type MissionState =
  | { readonly status: 'ABSENT' }
  | (MissionFields & {
      readonly status: MissionStatus;
      readonly missionId: MissionId;
      readonly closedReason: string | null;
      readonly createdAt: string;
      readonly updatedAt: string;
    });

/** A mission that exists. */
export type Mission = Exclude<MissionState, { status: 'ABSENT' }>;

/** Missions: created, updated while open, closed once. */
export const mission: Decider<MissionCommand, MissionFact, MissionState> = {
  initial: { status: 'ABSENT' },

  decide(state, command) {
    const problem = check(command);
    if (problem !== undefined) return refuse(problem);
    const { missionId } = command;
    if (command.type === 'CreateMission') {
      if (state.status !== 'ABSENT') return refuse(alreadyExists('Mission', missionId));
      const { title, description, metadata, tags } = command;
      return accept({ type: 'MissionCreated', data: { missionId, title, description, metadata, tags } });
    }
    if (state.status === 'ABSENT') return refuse(notFound('Mission', missionId));
    if (state.status !== 'OPEN') return refuse(missionClosed(missionId, state.status));
    switch (command.type) {
      case 'UpdateMission': {
        const changes = changed<MissionFields>(state, command.changes);
        if (Object.keys(changes).length === 0) return accept();
        return accept({ type: 'MissionUpdated', data: { missionId, ...changes } });
      }
      case 'CloseMission': {
        const { outcome, reason } = command;
        return accept({ type: 'MissionClosed', data: { missionId, outcome, reason } });
      }
      default:
        return unreachable(command);
    }
  },

  evolve(state, event) {
    const at = event.metadata.at;
    switch (event.type) {
      case 'MissionCreated': {
        if (state.status !== 'ABSENT') return state;
        const { missionId, title, description, metadata, tags } = event.data;
        const fields = { missionId, title, description, metadata, tags };
        return { status: 'OPEN', ...fields, closedReason: null, createdAt: at, updatedAt: at };
      }
      case 'MissionUpdated': {
        if (state.status !== 'OPEN') return state;
        const { missionId: _, ...changes } = event.data;
        return { ...state, ...changes, updatedAt: at };
      }
      case 'MissionClosed':
        if (state.status !== 'OPEN') return state;
        return { ...state, status: event.data.outcome, closedReason: event.data.reason, updatedAt: at };
      default:
        return newerEvent(event);
    }
  },
};

function check(command: MissionCommand) {
  const checks = new Checks().id('id', command.missionId);
  switch (command.type) {
    case 'CreateMission':
      return checkFields(checks, command).problem();
    case 'UpdateMission':
      return checkFields(checks, command.changes).problem();
    case 'CloseMission':
      return checks.text('reason', command.reason, 0, LIMITS.reasonLength).problem();
    default:
      return unreachable(command);
  }
}

function checkFields(checks: Checks, fields: Partial<MissionFields>): Checks {
  if (fields.title !== undefined) checks.text('title', fields.title, 1, LIMITS.titleLength);
  if (fields.description !== undefined) checks.text('description', fields.description, 0, LIMITS.descriptionLength);
  if (fields.metadata !== undefined) checks.json('metadata', fields.metadata, LIMITS.metadataBytes);
  if (fields.tags !== undefined) checks.tags('tags', fields.tags);
  return checks;
}

/** Upcasts MissionCreated from version 0, which the prototype wrote without tags, and without metadata where it was empty. */
export const missionUpcasters = {
  MissionCreated: [(data: JsonObject): JsonObject => ({ description: '', metadata: {}, tags: [], ...data })],
};
