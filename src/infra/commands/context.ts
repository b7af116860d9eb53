import { createHash } from 'node:crypto';
import { invalidInput, type Problem } from '../../domain/problem.js';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { LogError } from '../eventlog/errors.js';

/** The caller of a command, and the conditions of the request. */
export interface CommandContext {
  /** A role, a worker, or a process of Sheratan's own. */
  readonly actor: string;
  /** Names the request. */
  readonly correlationId: string;
  /**
   * Makes the command safe to repeat: the same key and input are answered with the first result, if that changed anything.
   */
  readonly idempotencyKey?: string | undefined;
  /** The revision that the caller has seen; any other is a conflict. */
  readonly expectedRevision?: bigint | undefined;
  /** The command's time, ISO 8601; by default the current time. An import sets it. */
  readonly at?: string | undefined;
}

/** The longest idempotency key, in characters. */
const MAX_IDEMPOTENCY_KEY_LENGTH = 200;

/** The problem of an invalid idempotency key; undefined for a valid one, or none. */
export function keyProblem(key: string | undefined): Problem | undefined {
  if (key === undefined) return undefined;
  if (key.length >= 1 && key.length <= MAX_IDEMPOTENCY_KEY_LENGTH && key.isWellFormed()) return undefined;
  const message = `must have 1–${MAX_IDEMPOTENCY_KEY_LENGTH} characters of well-formed Unicode`;
  return invalidInput([{ path: 'idempotencyKey', message }]);
}

/**
 * A hash that distinguishes inputs: the first 128 bits of SHA-256 over the canonical JSON, in hexadecimal. For an input that
 * is not valid JSON it is the empty string; a decider refuses such an input and names the field.
 */
export function inputHash(input: object): string {
  try {
    return createHash('sha256').update(canonicalJson(input)).digest('hex').slice(0, 32);
  } catch (error) {
    if (error instanceof LogError && error.code === 'EVENT_INVALID') return '';
    throw error;
  }
}
