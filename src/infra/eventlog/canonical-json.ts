import { LogError } from './errors.js';

/** The deepest nesting of a value, in levels; what contains itself is deeper. */
const MAX_DEPTH = 500;
/** Text that stands in JSON as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;
/** The longest text tested for being plain, in characters: for longer ones JSON.stringify is faster. */
const MAX_PLAIN_LENGTH = 64;

/**
 * A value as canonical JSON (RFC 8785). Members that are undefined are left out.
 * @throws LogError EVENT_INVALID for what JSON cannot carry
 */
export function canonicalJson(value: unknown, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      if (!Number.isFinite(value)) throw notJson(`it holds ${value}`);
      return String(value);
    case 'boolean':
      return String(value);
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_DEPTH) throw notJson(`it is nested deeper than ${MAX_DEPTH} levels`);
      return Array.isArray(value) ? listed(value, depth) : keyed(value, depth);
    default:
      throw notJson(`it holds a value of type ${typeof value}`);
  }
}

function quoted(text: string): string {
  if (text.length <= MAX_PLAIN_LENGTH && PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw notJson('it holds half of a surrogate pair, which UTF-8 cannot carry');
  return JSON.stringify(text);
}

function listed(items: readonly unknown[], depth: number): string {
  let json = '';
  for (const item of items) json += `${json === '' ? '' : ','}${canonicalJson(item, depth + 1)}`;
  return `[${json}]`;
}

function keyed(object: object, depth: number): string {
  const members = object as Readonly<Record<string, unknown>>;
  // A Date, for one, has no members of its own.
  if (typeof members['toJSON'] === 'function') throw notJson('it holds an object that is turned into JSON its own way');
  let json = '';
  // The order of `sort` is that of UTF-16 code units, as the RFC wants it.
  for (const key of Object.keys(members).sort()) {
    const member = members[key];
    if (member !== undefined) json += `${json === '' ? '' : ','}${quoted(key)}:${canonicalJson(member, depth + 1)}`;
  }
  return `{${json}}`;
}

function notJson(reason: string): LogError {
  return new LogError('EVENT_INVALID', `The value is not JSON: ${reason}.`);
}
