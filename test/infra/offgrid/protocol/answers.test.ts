import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeDamaged,
  decodeEntries,
  decodeRoots,
  encodeDamaged,
  encodeEntries,
  encodeRoots,
  MAX_DAMAGED,
  MAX_DAMAGED_BYTES,
  MAX_ENTRIES,
  MAX_ROOTS_BYTES,
} from '../../../../src/infra/offgrid/protocol/answers.js';
import {
  codeOf,
  hashes,
  hashLimits,
  messageOf,
  sequenceLimits,
  sequences,
  without,
} from '../../../support/offgrid/protocol-2.js';

describe('the roots of a host', () => {
  it('decode to the values that were encoded', () => {
    fc.assert(
      fc.property(fc.option(hashes), fc.option(hashes), (head, staged) => {
        expect(decodeRoots(encodeRoots({ head, staged }))).toEqual({ head, staged });
      }),
    );
  });

  it('are hashes or null, in at most 1 KiB', () => {
    const roots = { head: null, staged: new Uint8Array(32) };
    for (const name of ['head', 'staged']) {
      for (const value of hashLimits.outside.filter((each) => each !== null))
        expect(messageOf(() => decodeRoots(encode({ ...roots, [name]: value })))).toContain(`answer.${name} is`);
      expect(messageOf(() => decodeRoots(encode(without(roots, name))))).toContain(`answer.${name} is missing`);
    }
    const sized = (bytes: number) => encode({ ...roots, later: new Uint8Array(bytes) });
    const overhead = sized(900).byteLength - 900;
    expect(decodeRoots(sized(MAX_ROOTS_BYTES - overhead))).toEqual(roots);
    expect(codeOf(() => decodeRoots(sized(MAX_ROOTS_BYTES - overhead + 1)))).toBe('TOO_LARGE');
  });
});

describe('the entries of a host', () => {
  const entry = fc.uint8Array({ minLength: 42, maxLength: 42 });

  it('decode to the values that were encoded', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
        expect(decodeEntries(encodeEntries(entries))).toEqual(entries);
      }),
    );
  });

  it('have 42 bytes each and are at most 32,768', () => {
    const decode = (bytes: number) => decodeEntries(encode({ entries: new Uint8Array(bytes) }));
    expect(decode(0)).toEqual([]);
    expect(decode(MAX_ENTRIES * 42)).toHaveLength(32_768);
    for (const bytes of [1, 41, 43, 83]) expect(messageOf(() => decode(bytes))).toContain('a multiple of 42 bytes');
    expect(codeOf(() => decode((MAX_ENTRIES + 1) * 42))).toBe('MALFORMED');
    for (const entries of [null, [], 'x'])
      expect(messageOf(() => decodeEntries(encode({ entries })))).toContain('answer.entries is');
    expect(codeOf(() => decodeEntries(new Uint8Array(8 * 1024 * 1024 + 1)))).toBe('TOO_LARGE');
  });
});

describe('the damaged events of a host', () => {
  it('decode to the values that were encoded', () => {
    fc.assert(
      fc.property(fc.array(sequences), (given) => {
        expect(decodeDamaged(encodeDamaged({ sequences: given }))).toEqual({ sequences: given });
      }),
    );
  });

  it('are sequences, at most 1,000 of them in 64 KiB', () => {
    const decode = (given: unknown) => decodeDamaged(encode({ sequences: given }));
    expect(decode(sequenceLimits.inside)).toEqual({ sequences: sequenceLimits.inside });
    for (const other of sequenceLimits.outside)
      expect(messageOf(() => decode([1, other]))).toContain('answer.sequences[1] is');
    for (const other of [null, 1, new Uint8Array(1)])
      expect(messageOf(() => decode(other))).toContain('answer.sequences is');
    expect(decode(Array<number>(MAX_DAMAGED).fill(1)).sequences).toHaveLength(1000);
    expect(codeOf(() => decode(Array<number>(MAX_DAMAGED + 1).fill(1)))).toBe('MALFORMED');
    expect(codeOf(() => decodeDamaged(new Uint8Array(MAX_DAMAGED_BYTES)))).toBe('MALFORMED');
    expect(codeOf(() => decodeDamaged(new Uint8Array(MAX_DAMAGED_BYTES + 1)))).toBe('TOO_LARGE');
  });
});
