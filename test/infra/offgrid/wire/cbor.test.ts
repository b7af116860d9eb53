import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCbor, decodeCborSequence, encodeMap } from '../../../../src/infra/offgrid/wire/cbor.js';

const value = fc.record({
  sequence: fc.integer(),
  text: fc.string(),
  bytes: fc.uint8Array(),
  list: fc.array(fc.oneof(fc.boolean(), fc.constant(null), fc.integer())),
});

describe('CBOR', () => {
  it('comes out as it went in, one after the other', () => {
    fc.assert(
      fc.property(fc.array(value), (values) => {
        const plain = values.map((each) => ({ ...each }));
        expect([...decodeCborSequence(Buffer.concat(plain.map((each) => encode(each))))]).toEqual(plain);
        for (const each of plain) expect(decodeCbor(encode(each))).toEqual(each);
      }),
      { numRuns: 50 },
    );
  });

  it('of a map is the same, whichever of its members were encoded before', () => {
    const members = fc.dictionary(fc.string(), value, { maxKeys: 23, noNullPrototype: true });
    fc.assert(
      fc.property(members, fc.func(fc.boolean()), (map, isEncoded) => {
        const plain = Object.entries(map).map(([name, each]) => [name, { ...each }] as const);
        const before = plain.filter(([name]) => isEncoded(name));
        const after = plain.filter(([name]) => !isEncoded(name));
        const encoded = Object.fromEntries(before.map(([name, each]) => [name, encode(each)]));
        expect(encodeMap(Object.fromEntries(after), encoded)).toEqual(Buffer.from(encode(Object.fromEntries(plain))));
      }),
    );
  });

  it('that is cut short is an error where it is cut', () => {
    fc.assert(
      fc.property(value, value, fc.nat(), (first, second, at) => {
        const [head, tail] = [encode({ ...first }), encode({ ...second })];
        const sequence = decodeCborSequence(Buffer.concat([head, tail.subarray(0, 1 + (at % (tail.byteLength - 1)))]));
        expect(sequence.next().value).toEqual({ ...first });
        expect(() => sequence.next()).toThrow();
      }),
      { numRuns: 50 },
    );
  });

  it('that is none, or more than one, is undefined', () => {
    const junk = ['', 'ff', '0102', '9b000000e8d4a51000', '7b000000e8d4a51000', 'a2616101616101', 'c000', 'f97e00'];
    for (const hex of junk) expect(decodeCbor(Buffer.from(hex, 'hex')), hex).toBeUndefined();
    expect(decodeCbor(Buffer.alloc(1_000_000, 0x81))).toBeUndefined();
  });
});
