import { createHash } from 'node:crypto';
import { invalidInput, type Problem } from '../../domain/problem.js';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { LogError } from '../eventlog/errors.js';

/** Who asks for a command, and how. */
export interface CommandContext {
  /** A role, a worker, or a process of Sheratan's own. */
  readonly actor: string;
  /** Names the request. */
  readonly correlationId: string;
  /**
   * Makes the command safe to send again: the same key and input answer with the first result, if that changed anything.
   */
  readonly idempotencyKey?: string | undefined;
  /** The revision the caller has seen; anything else is a conflict. */
  readonly expectedRevision?: bigint | undefined;
  /** The command's time, ISO 8601; now unless it is taken over from elsewhere (an import). */
  readonly at?: string | undefined;
}

/** The longest idempotency key, in characters. */
const MAX_IDEMPOTENCY_KEY_LENGTH = 200;

/** What is wrong with an idempotency key, if anything. */
export function keyProblem(key: string | undefined): Problem | undefined {
  if (key === undefined) return undefined;
  if (key.length >= 1 && key.length <= MAX_IDEMPOTENCY_KEY_LENGTH && key.isWellFormed()) return undefined;
  const message = `must have 1–${MAX_IDEMPOTENCY_KEY_LENGTH} characters of well-formed Unicode`;
  return invalidInput([{ path: 'idempotencyKey', message }]);
}

/**
 * A hash that tells one input from another: the first 128 bits of SHA-256 over its canonical JSON, in hex. An input that
 * is not JSON has none (''): it equals no other, and a decider will refuse it, by name.
 */
export function inputHash(input: object): string {
  try {
    return createHash('sha256').update(canonicalJson(input)).digest('hex').slice(0, 32);
  } catch (error) {
    if (error instanceof LogError && error.code === 'EVENT_INVALID') return '';
    throw error;
  }
}
