import { createPrivateKey, createPublicKey, randomBytes, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { encode } from '@ipld/dag-cbor';
import { equalBytes, fromBase64, toBase64, toHex } from './bytes.js';
import { dataKey, KEY_BYTES, keyId, type DataKey } from './data-key.js';
import { sodium } from './sodium.js';

/** The keys derived from the root: crypto_kdf with this context and the number of each key's use. */
const CONTEXT = 'shrtroot';
const FIRST_DATA_KEY = 1;
const SIGNS = 2;
const WRAPS = 3;
/** The bytes before the 32 of an Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
const NONCE_BYTES = 24;
const WRAP_VERSION = 1;

/** The identity that a wrapped key is bound to: it unwraps only as this key. */
export interface WrappedPlace {
  readonly origin: string;
  readonly keyEpoch: number;
  readonly keyId: string;
}

/**
 * The key from which, with the log, all other keys follow. Any party that has it can read and write everything. It shows only
 * its id when it is logged or serialized by mistake.
 */
export class RootKey {
  readonly bytes: Uint8Array;
  /** The id of the root, hexadecimal. It identifies the root without revealing it. */
  readonly id: string;
  /** Seals the events before the first KeyRotated, and every KeyRotated. */
  readonly firstDataKey: DataKey;
  /** Signs the origin's claims and trees. */
  readonly signingKey: KeyObject;
  readonly verifyKey: KeyObject;
  readonly #wrapping: Uint8Array;

  /** @throws RangeError unless there are KEY_BYTES */
  constructor(bytes: Uint8Array) {
    if (bytes.byteLength !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes, not ${bytes.byteLength}`);
    const derived = (use: number) => sodium.crypto_kdf_derive_from_key(KEY_BYTES, use, CONTEXT, bytes);
    this.bytes = bytes;
    this.id = toHex(keyId(bytes));
    this.firstDataKey = dataKey(derived(FIRST_DATA_KEY));
    this.signingKey = createPrivateKey({
      key: Buffer.concat([PKCS8_ED25519, derived(SIGNS)]),
      format: 'der',
      type: 'pkcs8',
    });
    this.verifyKey = createPublicKey(this.signingKey);
    this.#wrapping = derived(WRAPS);
  }

  toJSON(): { readonly rootKeyId: string } {
    return { rootKeyId: this.id };
  }

  [inspect.custom](): string {
    return `RootKey ${this.id}`;
  }

  /** A new random root key. */
  static generate(): RootKey {
    return new RootKey(randomBytes(KEY_BYTES));
  }

  /** A data key in the wrapped form of KeyRotated: base64 of nonce, ciphertext and tag. */
  wrap(key: DataKey, origin: string, keyEpoch: number): string {
    const nonce = randomBytes(NONCE_BYTES);
    const aad = placeBytes({ origin, keyEpoch, keyId: toHex(key.id) });
    const wrapped = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(key.bytes, aad, null, nonce, this.#wrapping);
    return toBase64(Buffer.concat([nonce, wrapped]));
  }

  /** Unwraps a data key; undefined when it was wrapped for another place or by another root. */
  unwrap(wrapped: string, place: WrappedPlace): DataKey | undefined {
    const bytes = fromBase64(wrapped);
    const [nonce, ciphertext] = [bytes.subarray(0, NONCE_BYTES), bytes.subarray(NONCE_BYTES)];
    try {
      const key = dataKey(
        sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, ciphertext, placeBytes(place), nonce, this.#wrapping),
      );
      return equalBytes(key.id, Buffer.from(place.keyId, 'hex')) ? key : undefined;
    } catch {
      return undefined;
    }
  }
}

function placeBytes({ origin, keyEpoch, keyId: id }: WrappedPlace): Uint8Array {
  return encode([WRAP_VERSION, origin, keyEpoch, id]);
}
