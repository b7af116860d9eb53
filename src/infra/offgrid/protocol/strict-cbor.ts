import { decodeFirst, Token, Tokenizer, Type, type DecodeOptions } from 'cborg';
import { ProtocolError } from './protocol-error.js';

/** The maximum number of data items that one decoding reads: maps, arrays, keys and values. */
export const MAX_ITEMS = 65_536;
/** The maximum nesting depth of arrays and maps. */
export const MAX_DEPTH = 16;

/** Maps become `Map`s, so that no key has a special meaning, `__proto__` included. */
const OPTIONS: DecodeOptions = {
  allowIndefinite: false,
  allowUndefined: false,
  // An integer beyond 2⁵³ − 1 may be the value of a member that is ignored.
  allowBigInt: true,
  rejectDuplicateMapKeys: true,
  strict: true,
  useMaps: true,
};

/** cborg's text decoder silently replaces invalid UTF-8 and drops a byte order mark; this one refuses and keeps them. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** An array or a map whose items are being read. */
interface Container {
  readonly isMap: boolean;
  /** The number of items still to be read: two for each member of a map. */
  left: number;
  /** The last key of a map in encoded form. */
  lastKey: Uint8Array;
}

/** Refuses what cborg accepts and DAG-CBOR does not: tags, floats, and map keys that are not text or not in order. */
class StrictTokenizer extends Tokenizer {
  readonly #open: Container[] = [];
  #items = 0;

  override next(): Token {
    this.#items += 1;
    if (this.#items > MAX_ITEMS) throw new Error(`there are more than ${MAX_ITEMS} data items`);
    const start = this.pos();
    const token = super.next();
    const { type } = token;
    if (type === Type.tag || type === Type.float) throw new Error(`a ${type.name} is not permitted`);
    const encoded = this.data.subarray(start, this.pos());
    this.#place(token, encoded);
    return type === Type.string ? new Token(type, utf8.decode(textOf(encoded)), encoded.byteLength) : token;
  }

  /** Tracks the place of a token in its array or map. */
  #place(token: Token, encoded: Uint8Array): void {
    const parent = this.#open.at(-1);
    if (parent !== undefined) {
      if (parent.isMap && parent.left % 2 === 0) checkKey(parent, token, encoded);
      parent.left -= 1;
    }
    const items = itemsOf(token);
    if (items > 0) {
      if (this.#open.length === MAX_DEPTH) throw new Error(`arrays and maps are nested more than ${MAX_DEPTH} deep`);
      this.#open.push({ isMap: token.type === Type.map, left: items, lastKey: new Uint8Array() });
    }
    while (this.#open.at(-1)?.left === 0) this.#open.pop();
  }
}

/** Encoded keys compare in DAG-CBOR order, because the encoding of a text begins with its length. */
function checkKey(map: Container, { type }: Token, encoded: Uint8Array): void {
  if (type !== Type.string) throw new Error(`a map has a key that is not text but ${type.name}`);
  const order = Buffer.compare(map.lastKey, encoded);
  if (order === 0) throw new Error('a map has a key twice');
  if (order > 0) throw new Error('the keys of a map are not in order: the shorter first, then by their bytes');
  map.lastKey = encoded;
}

function itemsOf({ type, value }: Token): number {
  if (type === Type.array) return Number(value);
  return type === Type.map ? 2 * Number(value) : 0;
}

/** The bytes of an encoded text, without the 1, 2, 3, 5 or 9 bytes of its head. */
function textOf(encoded: Uint8Array): Uint8Array {
  const minor = (encoded[0] ?? 0) & 0x1f;
  return encoded.subarray(minor < 24 ? 1 : 1 + 2 ** (minor - 24));
}

/**
 * The value of one DAG-CBOR item; maps are `Map`s, byte strings are copies.
 * @throws ProtocolError MALFORMED for anything else: bytes after the item, indefinite lengths, numbers and lengths not in
 * their shortest form, floats, tags, undefined, text that is not UTF-8, map keys that are not text, not in order or
 * duplicated, more than MAX_ITEMS items, nesting deeper than MAX_DEPTH
 */
export function decodeStrict(bytes: Uint8Array, what: string): unknown {
  const [value, ...more] = decodeStrictSequence(bytes, what, 2);
  if (value === undefined) throw new ProtocolError('MALFORMED', `${what} is empty`);
  if (more.length > 0) throw new ProtocolError('MALFORMED', `${what} is followed by other bytes`);
  return value;
}

/**
 * The values of a sequence of DAG-CBOR items (RFC 8742); at most the first `maxValues` are read.
 * @throws ProtocolError MALFORMED as decodeStrict does; MAX_ITEMS limits all values together
 */
export function decodeStrictSequence(bytes: Uint8Array, what: string, maxValues: number): unknown[] {
  // A Buffer's slice is a view: cborg would return byte strings that keep the whole body in memory.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokenizer = new StrictTokenizer(plain, OPTIONS);
  const values: unknown[] = [];
  try {
    while (!tokenizer.done() && values.length < maxValues) {
      const [value] = decodeFirst(plain, { ...OPTIONS, tokenizer }) as [unknown, Uint8Array];
      values.push(value);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ProtocolError('MALFORMED', `${what} is not strict DAG-CBOR: ${why}`, { cause: error });
  }
  return values;
}
