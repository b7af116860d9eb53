import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/infra/crypto/bytes.js';
import { dataKey, KEY_BYTES, KEY_ID_BYTES, keyId } from '../../../src/infra/crypto/data-key.js';
import { anyDataKey, spellings, thrownBy, errorText } from './support.js';

describe('a data key', () => {
  it('gives the same keys each time', () => {
    fc.assert(
      fc.property(anyDataKey, (key) => {
        expect(dataKey(Uint8Array.from(key.bytes))).toEqual(key);
      }),
    );
  });

  it('encrypts with one key and makes nonces with another, both different from itself', () => {
    fc.assert(
      fc.property(anyDataKey, ({ bytes, encrypt, nonce }) => {
        expect(new Set([bytes, encrypt, nonce].map(toHex)).size).toBe(3);
        expect([encrypt.length, nonce.length]).toEqual([KEY_BYTES, KEY_BYTES]);
      }),
    );
  });

  it('has its own id of 16 bytes', () => {
    fc.assert(
      fc.property(anyDataKey, anyDataKey, (one, other) => {
        expect(one.id).toHaveLength(KEY_ID_BYTES);
        expect(toHex(one.id) === toHex(other.id)).toBe(toHex(one.bytes) === toHex(other.bytes));
      }),
    );
  });

  it('has no id that is the beginning of a longer hash of it', () => {
    const bytes = new Uint8Array(KEY_BYTES);
    const longer = createHash('blake2b512').update(bytes).digest().subarray(0, KEY_ID_BYTES);
    expect(toHex(keyId(bytes))).not.toBe(toHex(longer));
  });

  it.each([0, 16, 31, 33, 64])('cannot have %d bytes, and the error does not contain them', (length) => {
    const bytes = new Uint8Array(length).fill(0xa7);
    const error = thrownBy(() => dataKey(bytes));
    expect(error).toBeInstanceOf(RangeError);
    for (const secret of spellings(bytes).filter((spelling) => spelling !== ''))
      expect(errorText(error)).not.toContain(secret);
  });
});
