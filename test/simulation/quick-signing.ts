import { createPublicKey, type KeyObject } from 'node:crypto';
import { vi } from 'vitest';
import { equalBytes, fromBase64 } from '../../src/infra/crypto/bytes.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import type * as Signing from '../../src/infra/crypto/signing.js';

/**
 * Signatures that take no time, in place of src/infra/crypto/signing.js: a hash over the public key and the bytes.
 * Anyone who knows a public key could forge them, but nothing in the simulation does; its forger signs with a key of
 * its own.
 */

const real = await vi.importActual<typeof Signing>('../../src/infra/crypto/signing.js');
const texts = new WeakMap<KeyObject, string>();

export const { fingerprintOf } = real;

export function signatureOf(bytes: Uint8Array, key: KeyObject): Uint8Array {
  return signed(fromBase64(publicKeyText(key)), bytes);
}

export function isSignature(signature: Uint8Array, bytes: Uint8Array, publicKey: Uint8Array): boolean {
  return equalBytes(signed(publicKey, bytes), signature);
}

export function publicKeyText(key: KeyObject): string {
  const known = texts.get(key);
  if (known !== undefined) return known;
  const text = real.publicKeyText(key.type === 'private' ? createPublicKey(key) : key);
  texts.set(key, text);
  return text;
}

/** 64 bytes, the length of a signature. */
function signed(publicKey: Uint8Array, bytes: Uint8Array): Uint8Array {
  const hash = sha256(publicKey, bytes);
  const signature = new Uint8Array(2 * hash.byteLength);
  signature.set(hash);
  signature.set(hash, hash.byteLength);
  return signature;
}
