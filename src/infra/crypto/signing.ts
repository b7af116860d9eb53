import { sign, type KeyObject } from 'node:crypto';
import { fromBase64, toBase64, toHex } from './bytes.js';
import { sha256 } from './sha256.js';
import { sodium } from './sodium.js';

/** What precedes the 32 bytes of an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
/** Hexadecimal digits of a fingerprint: 128 bits. */
const FINGERPRINT_DIGITS = 32;

/** Ed25519 over bytes: 64 bytes. */
export function signatureOf(bytes: Uint8Array, key: KeyObject): Uint8Array {
  return new Uint8Array(sign(null, bytes, key));
}

/**
 * Whether a signature is that of bytes, as libsodium's crypto_sign_verify_detached judges it.
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

/** What a key is called by: the first half of its SHA-256, hexadecimal. */
export function fingerprintOf(publicKey: string): string {
  return toHex(sha256(fromBase64(publicKey))).slice(0, FINGERPRINT_DIGITS);
}
