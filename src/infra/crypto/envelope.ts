import { equalBytes } from './bytes.js';
import { CborWriter } from './cbor-writer.js';
import { KEY_ID_BYTES, type DataKey } from './data-key.js';
import { sha256 } from './sha256.js';
import { sodium } from './sodium.js';

/** The version of envelopes. */
const VERSION = 1;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;
/** Plaintexts are padded to a multiple of this size, in bytes. */
const BLOCK_BYTES = 64;
/** Buffer space for the authenticated data other than the origin, in bytes. */
const PLACE_BYTES = 64;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;

/** The place that an envelope is bound to: it opens at no other. */
export interface EnvelopePlace {
  /** The name of the core that sealed it. */
  readonly origin: string;
  /** The event's number among the replicated events of the origin, from 1. */
  readonly sequence: number;
  readonly etype: number;
  /** The event's time in milliseconds since 1970. */
  readonly at: number;
}

/** An envelope cannot be opened. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
  readonly code: 'MALFORMED' | 'VERSION_UNKNOWN' | 'KEY_UNKNOWN' | 'FORGED';

  constructor(code: EnvelopeError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Seals a text so that the same text, at the same place under the same key, always gives the same bytes:
 *
 *     1 byte version · 16 bytes key id · 24 bytes nonce · XChaCha20-Poly1305 ciphertext and tag
 *
 * The plaintext is padded (ISO/IEC 7816-4). The nonce is a keyed hash of the place and the plaintext (as in SIV: it repeats
 * only if everything else does). The place is authenticated. docs/protocol.md specifies the format.
 */
export function seal(key: DataKey, place: EnvelopePlace, text: string): Uint8Array {
  const { bytes, aad, padded } = sealable(place, text);
  const nonce = sodium.crypto_generichash(NONCE_BYTES, bytes, key.nonce);
  const ciphertext = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, aad, null, nonce, key.encrypt);
  const envelope = Buffer.allocUnsafe(HEAD_BYTES + ciphertext.byteLength);
  envelope[0] = VERSION;
  envelope.set(key.id, 1);
  envelope.set(nonce, 1 + KEY_ID_BYTES);
  envelope.set(ciphertext, HEAD_BYTES);
  return envelope;
}

/**
 * Opens an envelope.
 * @throws EnvelopeError MALFORMED when it is cut short or wrongly padded; VERSION_UNKNOWN; KEY_UNKNOWN when it is sealed with
 * another key; FORGED when it was not sealed for this place or was changed
 */
export function open(key: DataKey, place: EnvelopePlace, envelope: Uint8Array): string {
  if (!equalBytes(keyIdOf(envelope), key.id))
    throw new EnvelopeError('KEY_UNKNOWN', `event ${place.sequence} is sealed with another key`);
  const nonce = envelope.subarray(1 + KEY_ID_BYTES, HEAD_BYTES);
  const padded = decrypt(key, authenticated(place), nonce, envelope.subarray(HEAD_BYTES));
  if (padded === undefined)
    throw new EnvelopeError('FORGED', `event ${place.sequence} was sealed for another place, or was changed`);
  return unpad(padded, place);
}

/** The id of the key that an envelope is sealed with. @throws EnvelopeError MALFORMED, VERSION_UNKNOWN */
export function keyIdOf(envelope: Uint8Array): Uint8Array {
  if (envelope.byteLength < HEAD_BYTES + BLOCK_BYTES + TAG_BYTES)
    throw new EnvelopeError('MALFORMED', `an envelope of ${envelope.byteLength} bytes is cut short`);
  if (envelope[0] !== VERSION)
    throw new EnvelopeError(
      'VERSION_UNKNOWN',
      `an envelope has version ${String(envelope[0])}; only version ${VERSION} is supported`,
    );
  return envelope.subarray(1, 1 + KEY_ID_BYTES);
}

/** The address of an envelope: its SHA-256. */
export function addressOf(envelope: Uint8Array): Uint8Array {
  return sha256(envelope);
}

function authenticated({ origin, sequence, etype, at }: EnvelopePlace): Uint8Array {
  const writer = new CborWriter(PLACE_BYTES + 3 * origin.length);
  return writer.array(5).integer(VERSION).text(origin).integer(sequence).integer(etype).integer(at).written();
}

function decrypt(key: DataKey, aad: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, ciphertext, aad, nonce, key.encrypt);
  } catch {
    return undefined;
  }
}

/**
 * The authenticated data followed by the padded plaintext, in one buffer, because the nonce is the hash of both. The text is
 * padded as in ISO/IEC 7816-4: 0x80, then zeros, up to the next multiple; at least one byte.
 */
function sealable(place: EnvelopePlace, text: string) {
  const aad = authenticated(place);
  const length = Buffer.byteLength(text);
  const end = aad.byteLength + length;
  const bytes = Buffer.allocUnsafe(aad.byteLength + (Math.floor(length / BLOCK_BYTES) + 1) * BLOCK_BYTES);
  bytes.set(aad);
  bytes.write(text, aad.byteLength);
  bytes[end] = 0x80;
  bytes.fill(0, end + 1);
  return { bytes, aad, padded: bytes.subarray(aad.byteLength) };
}

function unpad(padded: Uint8Array, { sequence }: EnvelopePlace): string {
  const end = padded.lastIndexOf(0x80);
  if (end < 0 || padded.subarray(end + 1).some((byte) => byte !== 0))
    throw new EnvelopeError('MALFORMED', `event ${sequence} has invalid padding`);
  return Buffer.from(padded.buffer, padded.byteOffset, end).toString();
}
