import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { encode } from '@ipld/dag-cbor';
import { fromBase64, toBase64, toHex } from './bytes.js';
import { sha256 } from './sha256.js';

/** What precedes the 32 bytes of an Ed25519 public key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const PUBLIC_KEY_BYTES = 32;
/** Hexadecimal digits of a fingerprint: 128 bits. */
const FINGERPRINT_DIGITS = 32;

/** A message that can be signed: what DAG-CBOR can say. */
export type Signable = Readonly<Record<string, unknown>>;

/** Ed25519 over the DAG-CBOR of a message, base64. */
export function signMessage(key: KeyObject, message: Signable): string {
  return signBytes(key, encode(message));
}

/** Ed25519 over bytes, base64. */
export function signBytes(key: KeyObject, bytes: Uint8Array): string {
  return toBase64(sign(null, bytes, key));
}

/** Whether a signature is that of a message by the holder of a key. */
export function verifyMessage(key: KeyObject, message: Signable, signature: string): boolean {
  try {
    return verifyBytes(key, encode(message), signature);
  } catch {
    return false;
  }
}

/** Whether a signature is that of bytes by the holder of a key. */
export function verifyBytes(key: KeyObject, bytes: Uint8Array, signature: string): boolean {
  try {
    return verify(null, bytes, key, fromBase64(signature));
  } catch {
    return false;
  }
}

/** The 32 bytes of an Ed25519 public key, base64. */
export function publicKeyText(key: KeyObject): string {
  const der = key.export({ format: 'der', type: 'spki' });
  return toBase64(der.subarray(SPKI_ED25519.byteLength));
}

/** An Ed25519 public key from its 32 bytes in base64; undefined when it is none. */
export function publicKeyOf(text: string): KeyObject | undefined {
  const bytes = fromBase64(text);
  if (bytes.byteLength !== PUBLIC_KEY_BYTES) return undefined;
  try {
    return createPublicKey({ key: Buffer.concat([SPKI_ED25519, bytes]), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

/** What a key is called by: the first half of its SHA-256, hexadecimal. */
export function fingerprintOf(publicKey: string): string {
  return toHex(sha256(fromBase64(publicKey))).slice(0, FINGERPRINT_DIGITS);
}
