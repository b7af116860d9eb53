import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_JSON_DEPTH,
  parsePythonJson,
  pythonJson,
  PythonJsonError,
  rawJson,
  rawNumber,
  type PythonJson,
} from '../../../../src/infra/offgrid/broker/python-json.js';
import { runPython } from '../../../support/broker/python.js';

/** The number of values that are compared with Python. */
const VALUES = 3_000;

/** Characters of JSON, without exponents: JSON.parse turns numbers that are too large into Infinity. */
const ALMOST = ['{', '}', '[', ']', ':', ',', '"', '\\', ' ', '\n', '0', '1', '.', '-', '+', 'null', 'true', 'x', '/'];
/** Text of every kind: plain, control characters, both sides of the surrogates, halves of pairs. */
const text = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc
    .array(fc.oneof(fc.integer({ min: 0, max: 0x80 }), fc.integer({ min: 0xd7f0, max: 0xe010 }), fc.constant(0xfffd)), {
      maxLength: 4,
    })
    .map((units) => String.fromCharCode(...units)),
);
/** Numbers in Python's own format, so that Python writes them unchanged. */
const number = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom('1.5', '1e+22', '1e-07', '0.1', '-0.0', '3.0').map(rawJson),
);
const { value } = fc.letrec<{ value: PythonJson; object: PythonJson }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    number,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.dictionary(text, tie('value'), { maxKeys: 6, noNullPrototype: false }),
}));

describe('the text that is signed', () => {
  it('is the text that Python writes, for any value', async () => {
    const written = fc.sample(value, VALUES).map(pythonJson);
    const program = `
import json, sys
for line in sys.stdin:
    print(json.dumps(json.loads(line), sort_keys=True))
`;
    const printed = await runPython(['-c', program], written.map((line) => `${line}\n`).join(''));
    expect(printed.trimEnd().split('\n')).toEqual(written);
  });

  it('is the same when it is read and written again', () => {
    fc.assert(
      fc.property(value, (any) => {
        const written = pythonJson(any);
        expect(pythonJson(parsePythonJson(written))).toBe(written);
      }),
    );
  });

  it('is parsed by JSON.parse as the written value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (any) => {
        const text = JSON.stringify(any);
        expect(JSON.parse(pythonJson(parsePythonJson(text)))).toEqual(JSON.parse(text));
      }),
    );
  });

  it('contains only printable ASCII', () => {
    fc.assert(
      fc.property(value, (any) => {
        expect(pythonJson(any)).toMatch(/^[ -~]*$/);
      }),
    );
  });

  it.each([
    [{ b: 1, a: [true, null, {}], '': [] }, '{"": [], "a": [true, null, {}], "b": 1}'],
    ['"\\/\n\r\t\b\f\u0000\u007f', String.raw`"\"\\/\n\r\t\b\f\u0000\u007f"`],
    ['é😀', String.raw`"\u00e9\ud83d\ude00"`],
    // By code point; by UTF-16 unit the last two would change places.
    [{ '\u{1f600}': 3, '\ufffd': 2, z: 1 }, String.raw`{"z": 1, "\ufffd": 2, "\ud83d\ude00": 3}`],
    [{ ab: 2, a: 1 }, '{"a": 1, "ab": 2}'],
    [-0, '0'],
  ])('of %j is %s', (any, written) => {
    expect(pythonJson(any)).toBe(written);
  });

  it.each([1.5, 1e21, NaN, Infinity, -Infinity, 2 ** 53])('cannot be made from the number %d', (number) => {
    expect(() => pythonJson({ number })).toThrow(PythonJsonError);
  });

  it('contains fractions only as raw numbers, which are never signed', () => {
    expect(pythonJson([rawNumber(0.5), rawNumber(3)])).toBe('[0.5, 3]');
    expect(() => rawNumber(NaN)).toThrow(PythonJsonError);
  });
});

describe('received JSON', () => {
  it.each(['1.0', '1E5', '1e+22', '-0', '-0.0', '12345678901234567890123', '1.10'])(
    'keeps the number %s as it was written',
    (token) => {
      expect(pythonJson(parsePythonJson(`{"n":${token}}`))).toBe(`{"n": ${token}}`);
    },
  );

  it('has the last of duplicate keys, however they are escaped', () => {
    expect(pythonJson(parsePythonJson(String.raw`{"a":1,"b":2,"\u0061":3}`))).toBe('{"a": 3, "b": 2}');
  });

  it('may have keys that JavaScript objects inherit', () => {
    const text = '{"__proto__": {"x": 1}, "constructor": 2, "toString": 3}';
    expect(pythonJson(parsePythonJson(text))).toBe(text);
  });

  it.each([
    ['', 'the text ends too early at character 0'],
    ['{', 'the text ends too early at character 1'],
    ['{"a" 1}', '"1" is unexpected at character 5'],
    ['{"a":1,}', '"}" is unexpected at character 7'],
    ['[1,]', '"]" is unexpected at character 3'],
    ['[1 2]', '"2" is unexpected at character 3'],
    ['{} x', '"x" is unexpected at character 3'],
    ['01', '"1" is unexpected at character 1'],
    ['.5', '"." is unexpected at character 0'],
    ['NaN', '"N" is unexpected at character 0'],
    ['-Infinity', '"-" is unexpected at character 0'],
    ['1e999', 'the number at character 0 is too large'],
    ['"abc', 'the text that begins at character 0 does not end'],
    ['"a\n"', 'the text that begins at character 0 has a bad escape or a control character'],
    [String.raw`"\x"`, 'the text that begins at character 0 has a bad escape or a control character'],
    ['\ufeff{}', '"\ufeff" is unexpected at character 0'],
    ["{'a':1}", '"\'" is unexpected at character 1'],
  ])('is refused when it is %j', (text, message) => {
    expect(() => parsePythonJson(text)).toThrow(new PythonJsonError(message));
  });

  it(`may be nested ${MAX_JSON_DEPTH} levels deep and no deeper, and the same is written`, () => {
    const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
    const deepest = parsePythonJson(nested(MAX_JSON_DEPTH));
    expect(pythonJson(deepest)).toBe(nested(MAX_JSON_DEPTH));
    expect(() => parsePythonJson(nested(MAX_JSON_DEPTH + 1))).toThrow('nested deeper than 64 levels');
    expect(() => pythonJson({ deepest })).toThrow('nested deeper than 64 levels');
    expect(() => parsePythonJson('{"a":'.repeat(100_000))).toThrow('nested deeper than 64 levels');
  });

  it('is refused as JSON.parse refuses it, and only then', () => {
    const almost = fc.string({ unit: fc.constantFrom(...ALMOST), maxLength: 12 });
    const refuses = (read: () => unknown) => {
      try {
        read();
        return false;
      } catch {
        return true;
      }
    };
    fc.assert(
      fc.property(almost, (text) => {
        expect(refuses(() => parsePythonJson(text))).toBe(refuses(() => JSON.parse(text)));
      }),
      { numRuns: 2_000 },
    );
  });
});
