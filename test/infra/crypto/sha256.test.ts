import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/infra/crypto/bytes.js';
import { sha256 } from '../../../src/infra/crypto/sha256.js';

describe('SHA-256', () => {
  it.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ])('of "%s" is that of FIPS 180', (text, expected) => {
    expect(toHex(sha256(Buffer.from(text)))).toBe(expected);
  });

  it('of no parts is the SHA-256 of nothing', () => {
    expect(toHex(sha256())).toBe(toHex(sha256(new Uint8Array())));
  });

  it('of parts is the SHA-256 of the joined parts', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (parts) => {
        expect(toHex(sha256(...parts))).toBe(toHex(sha256(Buffer.concat(parts))));
      }),
    );
  });

  it('of a part of a buffer covers only that part', () => {
    expect(toHex(sha256(Buffer.from('xabcx').subarray(1, 4)))).toBe(toHex(sha256(Buffer.from('abc'))));
  });
});
