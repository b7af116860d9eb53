import { ProtocolError } from './protocol-error.js';

/** Checks one decoded value. `where` names it in the error. @throws ProtocolError MALFORMED */
export type Field<T> = (value: unknown, where: string) => T;

/** Reads a member of a map by its name. Members that are not read are ignored. */
export type Member = <T>(name: string, field: Field<T>) => T;

/** The members of a decoded map. @throws ProtocolError MALFORMED when it is not a map */
export function membersOf(value: unknown, what: string): Member {
  if (!(value instanceof Map)) throw malformed(value, what, 'a map');
  const members: ReadonlyMap<unknown, unknown> = value;
  return (name, field) => field(members.get(name), `${what}.${name}`);
}

/** An integer from `min` to `max`. */
export function integer(min: number, max: number): Field<number> {
  return (value, where) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max)
      throw malformed(value, where, `a whole number from ${min} to ${max}`);
    return value;
  };
}

/** Text that matches a pattern; `rule` describes the pattern in error messages. */
export function text(pattern: RegExp, rule: string): Field<string> {
  return (value, where) => {
    if (typeof value !== 'string' || !pattern.test(value)) throw malformed(value, where, rule);
    return value;
  };
}

/** A byte string of `min` to `max` bytes. */
export function byteString(min: number, max = min): Field<Uint8Array> {
  const rule = min === max ? `a byte string of ${min} bytes` : `a byte string of ${min} to ${max} bytes`;
  return (value, where) => {
    if (!(value instanceof Uint8Array) || value.byteLength < min || value.byteLength > max)
      throw malformed(value, where, rule);
    return value;
  };
}

/** An array of at most `max` values. */
export function list<T>(field: Field<T>, max: number): Field<readonly T[]> {
  return (value, where) => {
    if (!Array.isArray(value) || value.length > max) throw malformed(value, where, `an array of at most ${max} values`);
    const values: readonly unknown[] = value;
    return values.map((each, index) => field(each, `${where}[${index}]`));
  };
}

/** A value, or null. */
export function nullable<T>(field: Field<T>): Field<T | null> {
  return (value, where) => (value === null ? null : field(value, where));
}

/** The error for a value that breaks a rule. It quotes numbers and booleans only, because text and bytes are untrusted. */
export function malformed(value: unknown, where: string, rule: string): ProtocolError {
  if (value === undefined) return new ProtocolError('MALFORMED', `${where} is missing; it must be ${rule}`);
  return new ProtocolError('MALFORMED', `${where} is ${described(value)}; it must be ${rule}`);
}

function described(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  if (typeof value === 'string') return `a text of ${value.length} characters`;
  if (value instanceof Uint8Array) return `a byte string of ${value.byteLength} bytes`;
  return Array.isArray(value) ? `an array of ${value.length} values` : 'a map';
}
