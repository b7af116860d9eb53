import { encode } from '@ipld/dag-cbor';
import { encode as encodeAny } from 'cborg';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeStrict,
  decodeStrictSequence,
  MAX_DEPTH,
  MAX_ITEMS,
} from '../../../../src/infra/offgrid/protocol/strict-cbor.js';
import { codeOf, messageOf } from '../../../support/offgrid/protocol-2.js';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const decode = (hex: string) => decodeStrict(bytes(hex), 'it');

/** The decoded form of a value: maps as Maps, in the order of DAG-CBOR. */
function asMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asMaps);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return new Map(Object.entries(value).map(([key, each]) => [key, asMaps(each)]));
}

const text = fc.string({ unit: 'binary', maxLength: 40 });
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(fc.maxSafeInteger(), text, fc.boolean(), fc.constant(null), fc.uint8Array({ maxLength: 300 })),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

describe('strict DAG-CBOR', () => {
  it('is what the encoder writes', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(decodeStrict(encode(given), 'it')).toEqual(asMaps(given));
      }),
    );
  });

  it('has one encoding for a value: what decodes encodes to the same bytes', () => {
    const near = fc.tuple(value, fc.nat(), fc.nat({ max: 255 })).map(([given, at, byte]) => {
      const encoded = Uint8Array.from(encode(given));
      encoded[at % encoded.byteLength] = byte;
      return encoded;
    });
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 30 })), (given) => {
        const decoded = codeOf(() => decodeStrict(given, 'it'));
        if (decoded !== 'MALFORMED') expect(Buffer.from(encodeAny(decoded))).toEqual(Buffer.from(given));
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['nothing', '', 'it is empty'],
    ['a second item', '01 02', 'it is followed by other bytes'],
    ['keys in another order', 'a2 62 6262 01 61 61 02', 'not in order'],
    ['keys of one length in another order', 'a2 61 62 01 61 61 02', 'not in order'],
    ['a key twice', 'a2 61 61 01 61 61 02', 'a key twice'],
    ['a key that is a number', 'a1 01 02', 'a key that is not text but uint'],
    ['a key that is bytes', 'a1 41 61 02', 'a key that is not text but bytes'],
    ['a number of 2 bytes that fits into 1', '18 17', 'more bytes than necessary'],
    ['a number of 3 bytes that fits into 2', '19 00ff', 'more bytes than necessary'],
    ['a number of 5 bytes that fits into 3', '1a 0000ffff', 'more bytes than necessary'],
    ['a number of 9 bytes that fits into 5', '1b 00000000ffffffff', 'more bytes than necessary'],
    ['a negative number of 2 bytes that fits into 1', '38 17', 'more bytes than necessary'],
    ['a length that could be shorter: bytes', '58 01 00', 'more bytes than necessary'],
    ['a length that could be shorter: text', '78 01 61', 'more bytes than necessary'],
    ['a length that could be shorter: array', '98 01 00', 'more bytes than necessary'],
    ['a length that could be shorter: map', 'b8 01 61 61 00', 'more bytes than necessary'],
    ['indefinite length: bytes', '5f 41 00 ff', ''],
    ['indefinite length: text', '7f 61 61 ff', ''],
    ['indefinite length: array', '9f 01 ff', 'indefinite length'],
    ['indefinite length: map', 'bf 61 61 01 ff', 'indefinite length'],
    ['a float of 2 bytes', 'f9 3c00', 'a float is not permitted'],
    ['a float of 4 bytes', 'fa 3f800000', 'a float is not permitted'],
    ['a float of 8 bytes', 'fb 3ff0000000000000', 'a float is not permitted'],
    ['not a number', 'fb 7ff8000000000000', ''],
    ['a tag', 'c1 01', 'a tag is not permitted'],
    ['a link to content (tag 42)', 'd8 2a 45 0001550000', 'a tag is not permitted'],
    ['a big number (tag 2)', 'c2 41 01', 'a tag is not permitted'],
    ['undefined', 'f7', 'undefined'],
    ['another simple value', 'e0', ''],
    ['another simple value of 2 bytes', 'f8 20', ''],
    ['text that is not UTF-8', '61 ff', 'not strict DAG-CBOR'],
    ['text that is a surrogate', '63 eda080', 'not strict DAG-CBOR'],
    ['text that is cut within a character', '62 e282', 'not strict DAG-CBOR'],
    ['bytes that are cut', '42 00', ''],
    ['an array that is cut', '82 01', ''],
    ['a map that is cut', 'a1 61 61', ''],
    ['an array of more items than there are bytes', '9b 000000e8d4a51000', ''],
    ['a map of more items than there are bytes', 'bb 000000e8d4a51000', ''],
    ['bytes of 2⁶³', '5b 8000000000000000', ''],
    ['a break', 'ff', ''],
  ])('is not %s', (_, hex, why) => {
    expect(codeOf(() => decode(hex))).toBe('MALFORMED');
    expect(messageOf(() => decode(hex))).toContain(why);
  });

  it('keeps keys such as __proto__ as keys, and texts as they are', () => {
    const map = decode('a1 69 5f5f70726f746f5f5f a1 62 7473 01');
    expect(map).toEqual(new Map([['__proto__', new Map([['ts', 1]])]]));
    expect(decode('64 efbbbf 61')).toBe('\uFEFFa');
    expect(decode('a2 61 61 01 64 efbbbf 61 02')).toEqual(
      new Map([
        ['a', 1],
        ['\uFEFFa', 2],
      ]),
    );
    expect(decode('1b ffffffffffffffff')).toBe(2n ** 64n - 1n);
  });

  it('copies byte strings, so that they do not keep the body in memory', () => {
    const body = encode(new Uint8Array(50));
    const copy = decodeStrict(Buffer.from(body), 'it') as Uint8Array;
    expect(copy.buffer.byteLength).toBe(50);
  });

  it('has a limit on its nesting and on the number of its items', () => {
    const nested = (depth: number) => [...Array<number>(depth).fill(0x81), 0];
    expect(codeOf(() => decodeStrict(Uint8Array.from(nested(MAX_DEPTH)), 'it'))).not.toBe('MALFORMED');
    expect(messageOf(() => decodeStrict(Uint8Array.from(nested(MAX_DEPTH + 1)), 'it'))).toContain('deep');
    expect(codeOf(() => decodeStrict(Buffer.alloc(1_000_000, 0x81), 'it'))).toBe('MALFORMED');
    const items = (count: number) => encode(Array<number>(count - 1).fill(0));
    expect(decodeStrict(items(MAX_ITEMS), 'it')).toHaveLength(MAX_ITEMS - 1);
    expect(messageOf(() => decodeStrict(items(MAX_ITEMS + 1), 'it'))).toContain('data items');
  });

  it('is read from sequences, up to the requested number of values', () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), fc.nat({ max: 6 }), (values, max) => {
        const sequence = Buffer.concat(values.map((each) => encode(each)));
        expect(decodeStrictSequence(sequence, 'it', max)).toEqual(values.slice(0, max).map(asMaps));
      }),
    );
    expect(codeOf(() => decodeStrictSequence(bytes('01 82 01'), 'it', 5))).toBe('MALFORMED');
  });
});
