import type { KeyObject } from 'node:crypto';
import { fromBase64, toHex } from '../../crypto/bytes.js';
import { publicKeyText } from '../../crypto/signing.js';
import { malformed, type Field } from './members.js';

declare const brand: unique symbol;

/** The 32 bytes of an Ed25519 public key that is not of small order. */
export type VerifyKey = Uint8Array & { readonly [brand]: 'verify key' };

/** The size of a verify key, in bytes. */
export const VERIFY_KEY_BYTES = 32;

/**
 * The y coordinates of the points whose order divides 8, little-endian without the sign of x: libsodium's list
 * (ge25519_has_small_order). The last two are 0 and 1 again, not reduced modulo 2²⁵⁵ − 19.
 */
export const SMALL_ORDER_KEYS: readonly string[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

/** Whether a key is of small order. Signatures that verify under such a key can be made without a private key. */
export function isSmallOrder(key: Uint8Array): boolean {
  const unsigned = Uint8Array.from(key);
  const last = unsigned.byteLength - 1;
  unsigned[last] = (unsigned[last] ?? 0) & 0x7f;
  return SMALL_ORDER_KEYS.includes(toHex(unsigned));
}

/** Whether bytes may be pinned as a verify key: there are 32, and they are not of small order. */
export function isVerifyKey(bytes: Uint8Array): bytes is VerifyKey {
  return bytes.byteLength === VERIFY_KEY_BYTES && !isSmallOrder(bytes);
}

/** A verify key that may be pinned. */
export const verifyKey: Field<VerifyKey> = (value, where) => {
  if (!(value instanceof Uint8Array) || !isVerifyKey(value))
    throw malformed(value, where, 'an Ed25519 public key of 32 bytes that is not of small order');
  return value;
};

/** The 32 bytes of a key pair's public key. @throws ProtocolError MALFORMED when it is of small order */
export function verifyKeyOf(publicKey: KeyObject): VerifyKey {
  return verifyKey(fromBase64(publicKeyText(publicKey)), 'the public key');
}
