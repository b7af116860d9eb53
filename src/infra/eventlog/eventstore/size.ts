import type { Json } from '../../../domain/json.js';

/** What a value, a member or an item costs in memory beside its text, in bytes: a rough guess from above. */
const NODE_BYTES = 16;

/** The memory a JSON value takes, in bytes, estimated without writing it out. */
export function sizeOf(value: unknown): number {
  return walk(value as Json);
}

function walk(value: Json): number {
  if (typeof value === 'string') return NODE_BYTES + value.length * 2;
  if (typeof value !== 'object' || value === null) return NODE_BYTES;
  let bytes = NODE_BYTES;
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) bytes += walk(item);
    return bytes;
  }
  const members = value as Readonly<Record<string, Json>>;
  // It is JSON, which has no members but its own.
  for (const key in members) bytes += key.length * 2 + walk(members[key] ?? null);
  return bytes;
}
