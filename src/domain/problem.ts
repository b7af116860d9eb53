import type { HostState } from './replication.js';

/** One thing wrong with one field of an input. */
export interface FieldProblem {
  /** Dotted path of the field, as the caller wrote it: `title`, `tags.3`. */
  readonly path: string;
  readonly message: string;
}

/** The kinds of things that a command can name. */
export type EntityKind = 'Mission' | 'Task' | 'Job' | 'Projection' | 'Host';

/** An expected failure: data, not an exception, with a stable code. */
export type Problem =
  | { readonly code: 'INVALID_INPUT'; readonly message: string; readonly fields: readonly FieldProblem[] }
  | { readonly code: 'NOT_FOUND'; readonly message: string; readonly entity: EntityKind; readonly id: string }
  | { readonly code: 'ALREADY_EXISTS'; readonly message: string; readonly entity: EntityKind; readonly id: string }
  | { readonly code: 'MISSION_CLOSED'; readonly message: string; readonly missionId: string }
  | { readonly code: 'JOB_NOT_PENDING'; readonly message: string; readonly jobId: string; readonly status: string }
  | { readonly code: 'JOB_FINISHED'; readonly message: string; readonly jobId: string; readonly status: string }
  | {
      readonly code: 'STALE_ATTEMPT';
      readonly message: string;
      readonly jobId: string;
      readonly attempt: number;
      readonly currentAttempt: number;
    }
  | {
      readonly code: 'CONCURRENCY_CONFLICT';
      readonly message: string;
      readonly expectedRevision: string;
      readonly actualRevision: string;
    }
  | { readonly code: 'IDEMPOTENCY_MISMATCH'; readonly message: string; readonly key: string }
  | { readonly code: 'PROJECTION_STATE'; readonly message: string; readonly name: string }
  | { readonly code: 'REPLICATION_DISABLED'; readonly message: string }
  | { readonly code: 'REPLICATION_STATE'; readonly message: string }
  | { readonly code: 'HOST_STATE'; readonly message: string; readonly hostId: string; readonly state: HostState };

/** The stable codes of expected failures. */
export type ProblemCode = Problem['code'];

/** The problem that has a given code. */
export type ProblemOf<Code extends ProblemCode> = Extract<Problem, { code: Code }>;

/** The problem of an input with invalid fields; its message names the first of them. */
export function invalidInput(fields: readonly FieldProblem[]): ProblemOf<'INVALID_INPUT'> {
  const [first] = fields;
  const message =
    first === undefined
      ? 'The input is invalid.'
      : `${first.path}: ${first.message}${fields.length > 1 ? ` (and ${String(fields.length - 1)} more)` : ''}`;
  return { code: 'INVALID_INPUT', message, fields };
}

/** The problem of a command that names something which does not exist. */
export function notFound(entity: EntityKind, id: string): ProblemOf<'NOT_FOUND'> {
  return { code: 'NOT_FOUND', message: `There is no ${entity.toLowerCase()} '${id}'.`, entity, id };
}

/** The problem of a command that creates something which exists already. */
export function alreadyExists(entity: EntityKind, id: string): ProblemOf<'ALREADY_EXISTS'> {
  return { code: 'ALREADY_EXISTS', message: `${entity} '${id}' already exists.`, entity, id };
}

/** The problem of a command on a mission that is closed. */
export function missionClosed(missionId: string, status: string): ProblemOf<'MISSION_CLOSED'> {
  return {
    code: 'MISSION_CLOSED',
    message: `Mission '${missionId}' is closed (${status}) and accepts no more changes, tasks or jobs.`,
    missionId,
  };
}
