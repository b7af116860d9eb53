import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonBytes, jsonEquals, type Json } from '../../src/domain/json.js';
import { jsonValue } from './arbitraries.js';

describe('the size of a JSON value', () => {
  it.each<[Json, number]>([
    [null, 4],
    [true, 4],
    [-12.5, 5],
    ['', 2],
    ['é', 4],
    ['🌕', 6],
    ['"', 4],
    [[], 2],
    [{ a: [1, 2] }, 11],
  ])('of %j is %i bytes', (value, bytes) => {
    expect(jsonBytes(value)).toBe(bytes);
  });

  it('is the length of its JSON text in UTF-8', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        expect(jsonBytes(value)).toBe(Buffer.from(JSON.stringify(value), 'utf8').byteLength);
      }),
    );
  });
});

describe('two JSON values', () => {
  it.each<[Json, Json]>([
    [null, null],
    [0, -0],
    ['a', 'a'],
    [
      [1, [2]],
      [1, [2]],
    ],
    [
      { a: 1, b: { c: [], d: null } },
      { b: { d: null, c: [] }, a: 1 },
    ],
  ])('are the same: %j and %j', (a, b) => {
    expect([jsonEquals(a, b), jsonEquals(b, a)]).toEqual([true, true]);
  });

  it.each<[Json, Json]>([
    [null, false],
    [null, {}],
    [0, '0'],
    [1, true],
    ['a', 'A'],
    [[], {}],
    [[], null],
    [[null], []],
    [
      [1, 2],
      [2, 1],
    ],
    [[1], { 0: 1 }],
    [{ a: 1 }, {}],
    [{ a: null }, {}],
    [{ a: null }, { b: null }],
    [{ a: 1 }, { a: 2 }],
    [
      { a: 1, b: 2 },
      { a: 1, c: 2 },
    ],
    [{ toString: null }, { valueOf: null }],
    [{ a: { b: [1] } }, { a: { b: [2] } }],
  ])('differ: %j and %j', (a, b) => {
    expect([jsonEquals(a, b), jsonEquals(b, a)]).toEqual([false, false]);
  });

  it('are the same after a round trip through text, with the keys turned around too', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const copy = JSON.parse(JSON.stringify(value)) as Json;
        expect(jsonEquals(value, copy)).toBe(true);
        expect(jsonEquals(turned(copy), value)).toBe(true);
      }),
    );
  });

  it('are the same exactly when their texts with sorted keys are', () => {
    fc.assert(
      fc.property(smallValue, smallValue, (a, b) => {
        expect(jsonEquals(a, b)).toBe(JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)));
      }),
      { numRuns: 500 },
    );
  });
});

/** Values so small that two of them are often the same. */
const { value: smallValue } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    fc.constantFrom<Json>(null, 0, 1, '0'),
    fc.array(tie('value'), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('a', 'b'), tie('value'), { maxKeys: 2, noNullPrototype: true }),
  ),
}));

function withKeys(value: Json, order: (keys: string[]) => string[]): Json {
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Array) return value.map((item: Json) => withKeys(item, order));
  const entries = new Map(Object.entries(value));
  return Object.fromEntries(order([...entries.keys()]).map((key) => [key, withKeys(entries.get(key) ?? null, order)]));
}
const turned = (value: Json) => withKeys(value, (keys) => keys.reverse());
const sorted = (value: Json) => withKeys(value, (keys) => keys.sort());
