import { LogError } from './errors.js';

/** The deepest nesting of a value, in levels. A value that contains itself always exceeds it. */
const MAX_DEPTH = 500;
/** Text that JSON writes without escapes. */
const PLAIN = /^[ !#-[\]-~]*$/;
/** The longest text that is tested against PLAIN, in characters: for longer text JSON.stringify is faster. */
const MAX_PLAIN_LENGTH = 64;

/**
 * Writes a value as canonical JSON (RFC 8785). Members that are undefined are left out.
 * @throws LogError EVENT_INVALID for a value that JSON cannot represent
 */
export function canonicalJson(value: unknown, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      if (!Number.isFinite(value)) throw notJson(`it contains ${value}`);
      return String(value);
    case 'boolean':
      return String(value);
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_DEPTH) throw notJson(`it is nested deeper than ${MAX_DEPTH} levels`);
      return Array.isArray(value) ? listed(value, depth) : keyed(value, depth);
    default:
      throw notJson(`it contains a value of type ${typeof value}`);
  }
}

function quoted(text: string): string {
  if (text.length <= MAX_PLAIN_LENGTH && PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw notJson('it contains half of a surrogate pair, which UTF-8 cannot encode');
  return JSON.stringify(text);
}

function listed(items: readonly unknown[], depth: number): string {
  let json = '';
  for (const item of items) json += `${json === '' ? '' : ','}${canonicalJson(item, depth + 1)}`;
  return `[${json}]`;
}

function keyed(object: object, depth: number): string {
  const members = object as Readonly<Record<string, unknown>>;
  // A Date, for example, has no members of its own.
  if (typeof members['toJSON'] === 'function') throw notJson('it contains an object with a toJSON method');
  let json = '';
  // `sort` orders by UTF-16 code units, as the RFC requires.
  for (const key of Object.keys(members).sort()) {
    const member = members[key];
    if (member !== undefined) json += `${json === '' ? '' : ','}${quoted(key)}:${canonicalJson(member, depth + 1)}`;
  }
  return `{${json}}`;
}

function notJson(reason: string): LogError {
  return new LogError('EVENT_INVALID', `The value is not JSON: ${reason}.`);
}
