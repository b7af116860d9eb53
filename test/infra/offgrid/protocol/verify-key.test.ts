import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toBase64 } from '../../../../src/infra/crypto/bytes.js';
import { sodium } from '../../../../src/infra/crypto/sodium.js';
import {
  isSmallOrder,
  isVerifyKey,
  SMALL_ORDER_KEYS,
  verifyKey,
  verifyKeyOf,
} from '../../../../src/infra/offgrid/protocol/verify-key.js';
import { codeOf, newKeys } from '../../../support/offgrid/protocol-2.js';

const withSign = (hex: string, sign: number) => {
  const key = Buffer.from(hex, 'hex');
  key[31] = key[31]! | (sign << 7);
  return key;
};
const smallOrder = SMALL_ORDER_KEYS.flatMap((hex) => [0, 1].map((sign) => withSign(hex, sign)));

describe('a verify key of small order', () => {
  it.each(smallOrder.map((key) => [key.toString('hex'), key] as const))('is refused: %s', (_, key) => {
    expect(isSmallOrder(key)).toBe(true);
    expect(isVerifyKey(key)).toBe(false);
    expect(codeOf(() => verifyKey(key, 'key'))).toBe('MALFORMED');
    // libsodium verifies nothing under it.
    const forged = Buffer.concat([key, Buffer.alloc(32)]);
    expect(sodium.crypto_sign_verify_detached(forged, Buffer.from('any'), key)).toBe(false);
  });

  it('is one under which OpenSSL accepts a signature made without a key for any message', () => {
    const one = withSign(SMALL_ORDER_KEYS[1]!, 0);
    const forged = Buffer.concat([one, Buffer.alloc(32)]);
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), one]);
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    expect(verify(null, Buffer.from('any message'), publicKey, forged)).toBe(true);
  });
});

describe('a verify key', () => {
  it('is the 32 bytes of the key pair’s public key', () => {
    const { publicKey } = newKeys();
    const key = verifyKeyOf(publicKey);
    expect(toBase64(key)).toBe(
      createPublicKey(publicKey.export({ format: 'pem', type: 'spki' }))
        .export({ format: 'jwk' })
        .x?.replaceAll('-', '+')
        .replaceAll('_', '/')
        .concat('='),
    );
    expect(verifyKey(key, 'key')).toBe(key);
    expect(isSmallOrder(key)).toBe(false);
    for (const other of [key.subarray(1), Buffer.concat([key, key]), new Uint8Array(), toBase64(key), null, 1])
      expect(codeOf(() => verifyKey(other, 'key'))).toBe('MALFORMED');
  });
});
