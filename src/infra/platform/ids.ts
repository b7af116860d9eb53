import { createHash } from 'node:crypto';
import { v5 as uuidv5, v7 as uuidv7 } from 'uuid';
import { canonicalJson } from '../eventlog/canonical-json.js';
import { LogError } from '../eventlog/errors.js';

/** The namespace of the ids that Sheratan derives; it never changes. */
const NAMESPACE = '5b1e7c0a-3d0c-5f5e-9a54-6b7a0d3c1f10';

/** An id that is the same for the same parts. */
export function derivedId(...parts: readonly (string | number)[]): string {
  return uuidv5(JSON.stringify(parts), NAMESPACE);
}

/** A new id, ordered by time. */
export function newId(): string {
  return uuidv7();
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
