/**
 * JSON in exactly the text that Python's `json.dumps(value, sort_keys=True)` writes, because the broker's protocol signs
 * that text. A received number keeps its token, because Python distinguishes `1` from `1.0` and has its own format for
 * floats.
 */

/** The maximum nesting depth of a value, in levels of lists and objects. */
export const MAX_JSON_DEPTH = 64;

const RAW = Symbol('raw JSON');

/** JSON text that is written unchanged: a number as received, or text that `pythonJson` wrote before. */
export interface RawJson {
  readonly [RAW]: string;
}

/** Marks JSON text as to be written unchanged. */
export function rawJson(text: string): RawJson {
  return { [RAW]: text };
}

/**
 * A number that need not be whole. Use it only where nothing is signed, because other languages may write it differently.
 * @throws PythonJsonError when it is not finite
 */
export function rawNumber(value: number): RawJson {
  if (!Number.isFinite(value)) throw new PythonJsonError(`${value} is not a JSON number`);
  return rawJson(String(value));
}

/** The text of a RawJson; undefined for any other value. */
export function rawText(value: unknown): string | undefined {
  return isRaw(value) ? value[RAW] : undefined;
}

function isRaw(value: unknown): value is RawJson {
  return typeof value === 'object' && value !== null && RAW in value;
}

/** A value that can be written. Numbers are whole and at most 2⁵³−1; others must be RawJson. */
export type PythonJson = null | boolean | string | number | RawJson | readonly PythonJson[] | PythonObject;

/** An object that can be written. */
export interface PythonObject {
  readonly [key: string]: PythonJson;
}

/** A value that was read: every number is a RawJson, and no object has a prototype. */
export type ReceivedJson = null | boolean | string | RawJson | readonly ReceivedJson[] | ReceivedObject;

/** An object that was read. */
export interface ReceivedObject {
  readonly [key: string]: ReceivedJson;
}

/** A text is not JSON, or a value cannot be written as JSON; the message names the place or the cause. */
export class PythonJsonError extends Error {
  override readonly name = 'PythonJsonError';
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
/** Matches single UTF-16 units, so that a surrogate pair becomes two escapes, as in Python. */
const ESCAPED = /["\\]|[^ -~]/g;

/** Writes a value. @throws PythonJsonError for a number that is not whole, or nesting deeper than MAX_JSON_DEPTH */
export function pythonJson(value: PythonJson): string {
  return written(value, 0);
}

function written(value: PythonJson, depth: number): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') return whole(value);
  if (isRaw(value)) return value[RAW];
  if (depth >= MAX_JSON_DEPTH) throw tooDeep();
  if (isList(value)) return `[${value.map((item) => written(item, depth + 1)).join(', ')}]`;
  const members = Object.entries(value).sort(([a], [b]) => byCodePoint(a, b));
  return `{${members.map(([key, member]) => `${quoted(key)}: ${written(member, depth + 1)}`).join(', ')}}`;
}

function whole(value: number): string {
  if (!Number.isSafeInteger(value)) {
    throw new PythonJsonError(`${value} is not a whole number up to 2⁵³−1; Python writes other numbers differently`);
  }
  return String(value);
}

function quoted(text: string): string {
  return `"${text.replace(ESCAPED, escaped)}"`;
}

function escaped(unit: string): string {
  return SHORT_ESCAPES[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Python's order of keys. The order of UTF-16 units differs: it has U+1F600 before U+FFFD. */
function byCodePoint(a: string, b: string): number {
  for (let at = 0; at < a.length && at < b.length; at += 1) {
    const left = a.codePointAt(at) ?? 0;
    const right = b.codePointAt(at) ?? 0;
    if (left !== right) return left - right;
  }
  return a.length - b.length;
}

function isList(value: readonly PythonJson[] | PythonObject): value is readonly PythonJson[] {
  return Array.isArray(value);
}

function tooDeep(): PythonJsonError {
  return new PythonJsonError(`it is nested deeper than ${MAX_JSON_DEPTH} levels`);
}

/**
 * Reads JSON as Python does: of duplicate keys the last one counts. `NaN`, `Infinity` and numbers beyond the range of a
 * double are refused. @throws PythonJsonError
 */
export function parsePythonJson(text: string): ReceivedJson {
  return new Reader(text).read();
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const WORDS: readonly (readonly [string, null | boolean])[] = [
  ['null', null],
  ['true', true],
  ['false', false],
];

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): ReceivedJson {
    const value = this.#value(0);
    if (this.#next() !== undefined) throw this.#unexpected();
    return value;
  }

  #value(depth: number): ReceivedJson {
    switch (this.#next()) {
      case '{':
        if (depth >= MAX_JSON_DEPTH) throw tooDeep();
        return this.#object(depth + 1);
      case '[':
        if (depth >= MAX_JSON_DEPTH) throw tooDeep();
        return this.#list(depth + 1);
      case '"':
        return this.#string();
      default:
        return this.#wordOrNumber();
    }
  }

  #object(depth: number): ReceivedObject {
    // Without a prototype, so that `__proto__` is a key like any other.
    const object = Object.create(null) as Record<string, ReceivedJson>;
    this.#at += 1;
    if (this.#skip('}')) return object;
    do {
      if (this.#next() !== '"') throw this.#unexpected();
      const key = this.#string();
      if (!this.#skip(':')) throw this.#unexpected();
      object[key] = this.#value(depth);
    } while (this.#skip(','));
    if (!this.#skip('}')) throw this.#unexpected();
    return object;
  }

  #list(depth: number): ReceivedJson[] {
    const list: ReceivedJson[] = [];
    this.#at += 1;
    if (this.#skip(']')) return list;
    do list.push(this.#value(depth));
    while (this.#skip(','));
    if (!this.#skip(']')) throw this.#unexpected();
    return list;
  }

  #string(): string {
    const from = this.#at;
    for (let at = from + 1; at < this.#text.length; at += 1) {
      const unit = this.#text[at];
      if (unit === '\\') at += 1;
      else if (unit === '"') {
        this.#at = at + 1;
        return this.#unquoted(from, at + 1);
      }
    }
    throw new PythonJsonError(`the text that begins at character ${from} does not end`);
  }

  #unquoted(from: number, to: number): string {
    try {
      return JSON.parse(this.#text.slice(from, to)) as string;
    } catch {
      throw new PythonJsonError(`the text that begins at character ${from} has a bad escape or a control character`);
    }
  }

  #wordOrNumber(): null | boolean | RawJson {
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    NUMBER.lastIndex = this.#at;
    const [token] = NUMBER.exec(this.#text) ?? [];
    if (token === undefined) throw this.#unexpected();
    if (!Number.isFinite(Number(token))) throw new PythonJsonError(`the number at character ${this.#at} is too large`);
    this.#at += token.length;
    return rawJson(token);
  }

  /** The next character that is not white space; `undefined` at the end. */
  #next(): string | undefined {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#text)?.[0].length ?? 0;
    return this.#text[this.#at];
  }

  #skip(character: string): boolean {
    if (this.#next() !== character) return false;
    this.#at += 1;
    return true;
  }

  #unexpected(): PythonJsonError {
    const found = this.#text[this.#at];
    const what = found === undefined ? 'the text ends too early' : `${JSON.stringify(found)} is unexpected`;
    return new PythonJsonError(`${what} at character ${this.#at}`);
  }
}
