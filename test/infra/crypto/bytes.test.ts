import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes, fromBase64, toBase64, toHex } from '../../../src/infra/crypto/bytes.js';

describe('bytes', () => {
  it('are the same after encoding and decoding as base64', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(equalBytes(fromBase64(toBase64(bytes)), bytes)).toBe(true);
      }),
    );
  });

  it('are written as two hexadecimal digits each', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
        expect(toHex(bytes)).toBe(digits);
      }),
    );
  });

  it('are written without the adjacent bytes in memory', () => {
    const within = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
    expect([toHex(within), toBase64(within)]).toEqual(['0203', 'AgM=']);
  });

  it('are equal when each of them is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3 }), fc.uint8Array({ maxLength: 3 }), (a, b) => {
        expect(equalBytes(a, b)).toBe(toHex(a) === toHex(b));
        expect(equalBytes(a, Uint8Array.from(a))).toBe(true);
      }),
    );
  });
});
