import { isId, MAX_ID_LENGTH } from './id.js';
import { jsonBytes, type Json } from './json.js';
import { invalidInput, type FieldProblem, type Problem } from './problem.js';

/** The limits for the input of commands. Lengths are in characters (UTF-16 code units), sizes in bytes of JSON. */
export const LIMITS = {
  titleLength: 200,
  nameLength: 200,
  descriptionLength: 10_000,
  reasonLength: 1_000,
  messageLength: 10_000,
  kindLength: 64,
  workerLength: 128,
  tags: 32,
  tagLength: 64,
  metadataBytes: 64 * 1024,
  payloadBytes: 256 * 1024,
  priority: 1_000,
  attempts: 100,
  leaseSeconds: 86_400,
} as const;

/** Collects everything that is wrong with an input, so that the caller receives all of it in one answer. */
export class Checks {
  readonly #fields: FieldProblem[] = [];

  /** A text of at most `max` characters of well-formed Unicode; not blank when `min` is above 0. */
  text(path: string, value: string, min: number, max: number): this {
    if (!value.isWellFormed())
      return this.#add(path, 'must be well-formed Unicode (it holds half of a surrogate pair)');
    if (min > 0 && value.trim() === '') return this.#add(path, 'must not be blank');
    if (value.length > max) {
      return this.#add(path, `must have at most ${String(max)} characters; it has ${String(value.length)}`);
    }
    return this;
  }

  /** An id that a caller chose. */
  id(path: string, value: string): this {
    if (isId(value)) return this;
    return this.#add(
      path,
      `must be an id: 1–${String(MAX_ID_LENGTH)} letters, digits or - _ . :, starting with a letter or digit`,
    );
  }

  /** A list of at most 32 distinct tags of at most 64 characters each. */
  tags(path: string, tags: readonly string[]): this {
    if (tags.length > LIMITS.tags) {
      this.#add(path, `must be at most ${String(LIMITS.tags)} tags; there are ${String(tags.length)}`);
    }
    tags.slice(0, LIMITS.tags).forEach((tag, i) => this.text(`${path}.${String(i)}`, tag, 1, LIMITS.tagLength));
    if (new Set(tags).size !== tags.length) this.#add(path, 'must not name a tag twice');
    return this;
  }

  /** A JSON value of at most `max` bytes, with well-formed text and finite numbers only. */
  json(path: string, value: Json, max: number): this {
    const flaw = jsonFlaw(value, 0);
    if (flaw !== undefined) return this.#add(path, flaw);
    const bytes = jsonBytes(value);
    if (bytes > max) return this.#add(path, `must be at most ${String(max)} bytes of JSON; it is ${String(bytes)}`);
    return this;
  }

  /** A whole number from `min` to `max`. */
  integer(path: string, value: number, min: number, max: number): this {
    if (Number.isInteger(value) && value >= min && value <= max) return this;
    return this.#add(path, `must be a whole number from ${String(min)} to ${String(max)}; it is ${String(value)}`);
  }

  /** A finite number of at least 0. */
  amount(path: string, value: number): this {
    if (Number.isFinite(value) && value >= 0) return this;
    return this.#add(path, `must be a number of at least 0; it is ${String(value)}`);
  }

  /** Everything that is wrong, as one problem; undefined when nothing is. */
  problem(): Problem | undefined {
    return this.#fields.length === 0 ? undefined : invalidInput(this.#fields);
  }

  #add(path: string, message: string): this {
    this.#fields.push({ path, message });
    return this;
  }
}

/** The deepest nesting of JSON that a command may carry, in levels. */
const MAX_JSON_DEPTH = 64;

function jsonFlaw(value: Json, depth: number): string | undefined {
  if (depth > MAX_JSON_DEPTH) return `must be nested at most ${String(MAX_JSON_DEPTH)} levels deep`;
  if (typeof value === 'string') return value.isWellFormed() ? undefined : 'must hold well-formed Unicode only';
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'must hold finite numbers only';
  if (value === null || typeof value !== 'object') return undefined;
  for (const [key, item] of Object.entries<Json>(value)) {
    if (!key.isWellFormed()) return 'must have keys of well-formed Unicode only';
    const flaw = jsonFlaw(item, depth + 1);
    if (flaw !== undefined) return flaw;
  }
  return undefined;
}
