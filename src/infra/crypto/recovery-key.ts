import { KEY_BYTES } from './data-key.js';
import { RootKey } from './root-key.js';
import { sha256 } from './sha256.js';

/** Crockford's base32: no I, L, O or U. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const STRANGE = new RegExp(`[^${ALPHABET}]`);
/** The number of bits in a digit. */
const DIGIT_BITS = 5;
/** The number of bytes of SHA-256 that serve as a checksum against typing errors. */
const CHECKSUM_BYTES = 3;
/** The number of digits in a group. */
const GROUP = 4;
const DIGITS = Math.ceil(((KEY_BYTES + CHECKSUM_BYTES) * 8) / DIGIT_BITS);

/** The root key as text for people to keep: 56 digits in groups of four. */
export function formatRecoveryKey(root: RootKey): string {
  const bytes = Buffer.concat([root.bytes, checksum(root.bytes)]);
  let bits = 0;
  let value = 0;
  let digits = '';
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    for (; bits >= DIGIT_BITS; bits -= DIGIT_BITS) {
      digits += ALPHABET.charAt((value >>> (bits - DIGIT_BITS)) & 31);
      value &= (1 << (bits - DIGIT_BITS)) - 1;
    }
  }
  return digits.match(new RegExp(`.{1,${GROUP}}`, 'g'))?.join('-') ?? '';
}

/**
 * The root key from its text. Case, white space and hyphens are ignored; O is read as 0, and I and L as 1.
 * @throws Error that names the cause without repeating the key
 */
export function parseRecoveryKey(text: string): RootKey {
  const digits = text.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1');
  const strange = digits.search(STRANGE);
  if (strange >= 0)
    throw new Error(
      `The recovery key contains an invalid character: '${String.fromCodePoint(digits.codePointAt(strange) ?? 0)}', character ${(strange % GROUP) + 1} of group ${Math.floor(strange / GROUP) + 1}.`,
    );
  if (digits.length !== DIGITS)
    throw new Error(
      `The recovery key has ${digits.length} digits; it must have ${DIGITS}. Check that no group is missing.`,
    );
  const bytes = Buffer.alloc(KEY_BYTES + CHECKSUM_BYTES);
  let bits = 0;
  let value = 0;
  let length = 0;
  for (const digit of digits) {
    value = (value << DIGIT_BITS) | ALPHABET.indexOf(digit);
    bits += DIGIT_BITS;
    if (bits < 8) continue;
    bits -= 8;
    bytes[length] = value >>> bits;
    value &= (1 << bits) - 1;
    length += 1;
  }
  const root = bytes.subarray(0, KEY_BYTES);
  if (!checksum(root).equals(bytes.subarray(KEY_BYTES)))
    throw new Error('The recovery key is wrong: its checksum does not match. Compare it with the printed key.');
  return new RootKey(Buffer.from(root));
}

function checksum(bytes: Uint8Array): Buffer {
  return Buffer.from(sha256(bytes).subarray(0, CHECKSUM_BYTES));
}
