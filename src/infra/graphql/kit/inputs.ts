import type { Json, JsonObject } from '../../../domain/json.js';
import { invalidInput, type FieldProblem, type Problem } from '../../../domain/problem.js';

/** A nullable input as the domain has it: left out, or there. */
export function given<V>(value: V | null | undefined): V | undefined {
  return value ?? undefined;
}

/** The fields that are given, without those that are null or left out. */
export function onlyGiven<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], null | undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], null | undefined>;
  };
}

/** What is wrong with inputs that must be JSON objects; nothing when each is one or left out. */
export function notObjects(inputs: Readonly<Record<string, Json | undefined>>): Problem | undefined {
  const fields: FieldProblem[] = [];
  for (const [path, value] of Object.entries(inputs)) {
    if (value === undefined || value === null || isObject(value)) continue;
    fields.push({ path, message: 'must be a JSON object' });
  }
  return fields.length === 0 ? undefined : invalidInput(fields);
}

/** A JSON object, where `notObjects` has found nothing wrong. */
export function asObject(value: Json | undefined): JsonObject | undefined {
  return value !== undefined && isObject(value) ? value : undefined;
}

function isObject(value: Json): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
