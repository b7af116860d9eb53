import { sign, type KeyObject } from 'node:crypto';
import { fromBase64, toBase64, toHex } from './bytes.js';
import { sha256 } from './sha256.js';
import { sodium } from './sodium.js';

/** The bytes before the 32 of an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
/** The number of hexadecimal digits in a fingerprint: 128 bits. */
const FINGERPRINT_DIGITS = 32;

/** The Ed25519 signature of bytes: 64 bytes. */
export function signatureOf(bytes: Uint8Array, key: KeyObject): Uint8Array {
  return new Uint8Array(sign(null, bytes, key));
}

/**
 * Whether a signature of bytes is valid by the rules of libsodium's crypto_sign_verify_detached.
 * @param signature of 64 bytes
 * @param publicKey of 32 bytes
 */
export function isSignature(signature: Uint8Array, bytes: Uint8Array, publicKey: Uint8Array): boolean {
  return sodium.crypto_sign_verify_detached(signature, bytes, publicKey);
}

/** The 32 bytes of an Ed25519 public key, base64. */
export function publicKeyText(key: KeyObject): string {
  const der = key.export({ format: 'der', type: 'spki' });
  return toBase64(der.subarray(SPKI_ED25519.byteLength));
}

/** The fingerprint of a key: the first half of its SHA-256, hexadecimal. @param publicKey base64 */
export function fingerprintOf(publicKey: string): string {
  return toHex(sha256(fromBase64(publicKey))).slice(0, FINGERPRINT_DIGITS);
}
