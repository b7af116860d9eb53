import { inspect } from 'node:util';
import { toHex } from './bytes.js';
import { sodium } from './sodium.js';

/** The size of a root or data key, in bytes. */
export const KEY_BYTES = 32;
/** The size of a key's id, in bytes. */
export const KEY_ID_BYTES = 16;
/** The context of crypto_kdf: 8 bytes. */
const CONTEXT = 'sheratan';
const ENCRYPTS = 1;
const KEYS_NONCE = 2;

/** A key that seals events, with the keys derived from it. */
export interface DataKey {
  readonly bytes: Uint8Array;
  /** BLAKE2b-128 of the key: an envelope names its key by this, and so commits to it. */
  readonly id: Uint8Array;
  /** The key that encrypts. */
  readonly encrypt: Uint8Array;
  /** The key of the hash that makes nonces. */
  readonly nonce: Uint8Array;
}

/** A data key that shows only its id when it is logged or serialized by mistake. */
class GuardedKey implements DataKey {
  readonly bytes: Uint8Array;
  readonly id: Uint8Array;
  readonly encrypt: Uint8Array;
  readonly nonce: Uint8Array;

  constructor(bytes: Uint8Array) {
    if (bytes.byteLength !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes, not ${bytes.byteLength}`);
    this.bytes = bytes;
    this.id = keyId(bytes);
    this.encrypt = sodium.crypto_kdf_derive_from_key(KEY_BYTES, ENCRYPTS, CONTEXT, bytes);
    this.nonce = sodium.crypto_kdf_derive_from_key(KEY_BYTES, KEYS_NONCE, CONTEXT, bytes);
  }

  toJSON(): { readonly keyId: string } {
    return { keyId: toHex(this.id) };
  }

  [inspect.custom](): string {
    return `DataKey ${toHex(this.id)}`;
  }
}

/** A data key from its bytes. @throws RangeError unless there are KEY_BYTES */
export function dataKey(bytes: Uint8Array): DataKey {
  return new GuardedKey(bytes);
}

/** The id of a key: its BLAKE2b-128. */
export function keyId(bytes: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(KEY_ID_BYTES, bytes, null);
}
