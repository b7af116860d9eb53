import { jsonEquals, type Json } from './json.js';

/** Only the fields of `changes` that differ from `current`. */
export function changed<Fields extends Record<keyof Fields, Json>>(
  current: Fields,
  changes: Partial<Fields>,
): Partial<Fields> {
  const differing: Partial<Fields> = {};
  for (const key of Object.keys(changes) as (keyof Fields)[]) {
    const value = changes[key];
    if (value !== undefined && !jsonEquals(value, current[key])) differing[key] = value;
  }
  return differing;
}
