import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../src/infra/eventlog/canonical-json.js';

/** RFC 8785, appendix B: doubles by their bits. */
const NUMBERS: Readonly<Record<string, string>> = {
  '0000000000000000': '0',
  '8000000000000000': '0',
  '0000000000000001': '5e-324',
  '8000000000000001': '-5e-324',
  '7fefffffffffffff': '1.7976931348623157e+308',
  ffefffffffffffff: '-1.7976931348623157e+308',
  '4340000000000000': '9007199254740992',
  c340000000000000: '-9007199254740992',
  '4430000000000000': '295147905179352830000',
  '44b52d02c7e14af5': '9.999999999999997e+22',
  '44b52d02c7e14af6': '1e+23',
  '44b52d02c7e14af7': '1.0000000000000001e+23',
  '444b1ae4d6e2ef4e': '999999999999999700000',
  '444b1ae4d6e2ef4f': '999999999999999900000',
  '444b1ae4d6e2ef50': '1e+21',
  '3eb0c6f7a0b5ed8c': '9.999999999999997e-7',
  '3eb0c6f7a0b5ed8d': '0.000001',
  '41b3de4355555553': '333333333.3333332',
  '41b3de4355555554': '333333333.33333325',
  '41b3de4355555555': '333333333.3333333',
  '41b3de4355555556': '333333333.3333334',
  '41b3de4355555557': '333333333.33333343',
  becbf647612f3696: '-0.0000033333333333333333',
  '43143ff3c1cb0959': '1424953923781206.2',
};

const refusal = { name: 'LogError', code: 'EVENT_INVALID' };
const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.stringMatching(/^[0-9]{1,3}$/));
const anyJson = fc.letrec((value) => ({
  json: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    anyText,
    fc.array(value('json')),
    fc.dictionary(fc.oneof(anyText, fc.constant('__proto__')), fc.option(value('json'), { nil: undefined })),
  ),
})).json;

describe('canonical JSON', () => {
  for (const [bits, text] of Object.entries(NUMBERS)) {
    it(`writes the double 0x${bits} as ${text}`, () => {
      expect(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text);
    });
  }

  it('writes the example of RFC 8785, section 3.2.2, as the RFC does', () => {
    const sample = JSON.parse(
      String.raw`{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }`,
    ) as unknown;
    expect(canonicalJson(sample)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('sorts keys as RFC 8785, section 3.2.3, does: by their UTF-16 code units', () => {
    const sample = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect([...canonicalJson(sample).matchAll(/"([^"]*)":/g)].map(([, key]) => key)).toEqual([
      '\\r',
      '1',
      '\u0080',
      '\u00f6',
      '\u20ac',
      '\ud83d\ude00',
      '\ufb33',
    ]);
  });

  it('sorts keys that look like numbers as text, and at every depth', () => {
    expect(canonicalJson({ b: [{ '9': 1, '10': { z: 1, a: 2 } }], a: 0 })).toBe(
      '{"a":0,"b":[{"10":{"a":2,"z":1},"9":1}]}',
    );
  });

  it('leaves out members that are undefined', () => {
    expect(canonicalJson({ b: undefined, a: { c: undefined } })).toBe('{"a":{}}');
  });

  it('equals the output of the package canonicalize', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(canonicalJson(value)).toBe(canonicalize(value));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is JSON of the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 500 },
    );
  });

  it('is the same for the same value, in any order of its keys', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, fc.jsonValue()), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(reversed)).toBe(canonicalJson(value));
      }),
    );
  });

  it('refuses half a surrogate pair, in text short or long and in keys', () => {
    const half = fc.constantFrom('\ud800', '\udbff', '\udc00', '\udfff');
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), half, fc.string({ maxLength: 200 }), (before, surrogate, after) => {
        const text = `${before}${surrogate}${after}`;
        for (const value of [text, [text], { [text]: 1 }]) {
          expect(() => canonicalJson(value)).toThrow(expect.objectContaining(refusal));
        }
      }),
    );
  });

  const circular: unknown[] = [];
  circular.push({ circular });
  for (const [what, value] of Object.entries({
    undefined: undefined,
    'undefined in a list': [undefined],
    'a hole in a list': Array.from({ length: 2 }).fill(1, 1),
    'a function': { f: () => 1 },
    'a symbol': [Symbol('s')],
    'a bigint': { n: 1n },
    NaN: Number.NaN,
    Infinity: [Infinity],
    'a date': { at: new Date(0) },
    'what contains itself': circular,
    'what is nested too deeply': JSON.parse('['.repeat(501) + ']'.repeat(501)) as unknown,
  })) {
    it(`refuses ${what}`, () => {
      expect(() => canonicalJson(value)).toThrow(expect.objectContaining(refusal));
    });
  }

  it('accepts 500 levels', () => {
    const deep = '['.repeat(500) + ']'.repeat(500);
    expect(canonicalJson(JSON.parse(deep))).toBe(deep);
  });
});
