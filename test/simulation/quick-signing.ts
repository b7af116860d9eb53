import { createPublicKey, type KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { toBase64 } from '../../src/infra/crypto/bytes.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { vi } from 'vitest';
import type * as Signing from '../../src/infra/crypto/signing.js';

/**
 * Signatures that take no time, in the place of src/infra/crypto/signing.js: a hash over key and message. Whoever knows a
 * public key could forge them, but nobody in the simulation does; its forger signs with a key of its own.
 */

const real = await vi.importActual<typeof Signing>('../../src/infra/crypto/signing.js');
const texts = new WeakMap<KeyObject, string>();
const keys = new Map<string, KeyObject | undefined>();

export const fingerprintOf = real.fingerprintOf;

export function signMessage(key: KeyObject, message: Signing.Signable): string {
  return signBytes(key, encode(message));
}

export function signBytes(key: KeyObject, bytes: Uint8Array): string {
  return toBase64(sha256(Buffer.from(publicKeyText(key)), bytes));
}

export function verifyMessage(key: KeyObject, message: Signing.Signable, signature: string): boolean {
  return verifyBytes(key, encode(message), signature);
}

export function verifyBytes(key: KeyObject, bytes: Uint8Array, signature: string): boolean {
  return signBytes(key, bytes) === signature;
}

export function publicKeyText(key: KeyObject): string {
  const known = texts.get(key);
  if (known !== undefined) return known;
  const text = real.publicKeyText(key.type === 'private' ? createPublicKey(key) : key);
  texts.set(key, text);
  return text;
}

export function publicKeyOf(text: string): KeyObject | undefined {
  if (!keys.has(text)) keys.set(text, real.publicKeyOf(text));
  return keys.get(text);
}
