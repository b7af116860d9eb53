import { isJsonObject, type Json, type JsonObject } from '../../../domain/json.js';
import { invalidInput, type FieldProblem, type Problem } from '../../../domain/problem.js';

/** The `input` of a mutation. */
export const INPUT_ARG = {
  description: 'The mutation checks all values of this input before it changes anything.',
} as const;

/** A nullable input as the domain has it: `undefined` instead of null. */
export function given<V>(value: V | null | undefined): V | undefined {
  return value ?? undefined;
}

/** Only the fields that have a value: those that are null or left out are removed. */
export function onlyGiven<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], null | undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], null | undefined>;
  };
}

/** The problem with inputs that must be JSON objects; `undefined` when each is an object, null or left out. */
export function notObjects(inputs: Readonly<Record<string, Json | undefined>>): Problem | undefined {
  const fields: FieldProblem[] = [];
  for (const [path, value] of Object.entries(inputs)) {
    if (value === undefined || value === null || isJsonObject(value)) continue;
    fields.push({ path, message: 'must be a JSON object' });
  }
  return fields.length === 0 ? undefined : invalidInput(fields);
}

/** The value as a JSON object; `undefined` when it is left out. `notObjects` has refused every other value. */
export function asObject(value: Json | undefined): JsonObject | undefined {
  return value !== undefined && isJsonObject(value) ? value : undefined;
}
