import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CborWriter } from '../../../src/infra/crypto/cbor-writer.js';

type Item = number | string | null | Uint8Array | readonly Item[] | { readonly [key: string]: Item };

/** Writes any value, with the keys of maps in the order of the library. */
function write(writer: CborWriter, value: Item): void {
  if (value === null) writer.null();
  else if (typeof value === 'number') writer.integer(value);
  else if (typeof value === 'string') writer.text(value);
  else if (value instanceof Uint8Array) writer.bytes(value);
  else if (Array.isArray(value)) {
    writer.array(value.length);
    for (const item of value as readonly Item[]) write(writer, item);
  } else {
    const bytes = (key: string) => Buffer.from(key);
    const members = Object.entries(value).sort(
      ([a], [b]) => bytes(a).byteLength - bytes(b).byteLength || Buffer.compare(bytes(a), bytes(b)),
    );
    writer.map(members.length);
    for (const [key, member] of members) write(writer.text(key), member);
  }
}

function written(value: Item, room: number): string {
  const writer = new CborWriter(room);
  write(writer, value);
  return Buffer.from(writer.written()).toString('hex');
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const { item } = fc.letrec<{ item: Item }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 4 },
    fc.maxSafeInteger(),
    fc.integer({ min: -70_000, max: 70_000 }),
    fc.string({ unit: 'grapheme', maxLength: 300 }),
    fc.constant(null),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('item'), { maxLength: 30 }),
    fc.dictionary(fc.string({ maxLength: 12 }), tie('item'), { noNullPrototype: true }),
  ),
}));

describe('written CBOR', () => {
  it('has the bytes that the library encodes, for any initial size of the buffer', () => {
    fc.assert(
      fc.property(item, fc.integer({ min: 0, max: 64 }), (value, room) => {
        expect(written(value, room)).toBe(hex(encode(value)));
      }),
      { numRuns: 500 },
    );
  });

  it('has the shortest heads', () => {
    const edges = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
    for (const value of edges.flatMap((edge) => [edge, -edge - 1, -edge]).filter(Number.isSafeInteger))
      expect(written(value, 9)).toBe(hex(encode(value)));
    for (const length of [23, 24, 255, 256, 65_535, 65_536]) {
      const bytes = new Uint8Array(length);
      expect(written(bytes, 0)).toBe(hex(encode(bytes)));
      expect(written('x'.repeat(length), 0)).toBe(hex(encode('x'.repeat(length))));
    }
  });

  it.each([0.5, NaN, Infinity, 2 ** 53])('cannot contain the number %d', (value) => {
    expect(() => new CborWriter(9).integer(value)).toThrow(RangeError);
  });
});
