import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/infra/crypto/bytes.js';
import { formatRecoveryKey, parseRecoveryKey } from '../../../src/infra/crypto/recovery-key.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { anyRootKey, spellings, thrownBy, errorText } from './support.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const ROOT = new RootKey(Uint8Array.from({ length: 32 }, (_, i) => (37 * i + 11) % 256));
const TEXT = formatRecoveryKey(ROOT);
const DIGITS = TEXT.replaceAll('-', '');

const idOf = (text: string) => toHex(parseRecoveryKey(text).bytes);
const ID = toHex(ROOT.bytes);
const refused = (text: string) => thrownBy(() => parseRecoveryKey(text)).message;

describe('a recovery key', () => {
  it('is fourteen groups of four of Crockford’s digits', () => {
    fc.assert(
      fc.property(anyRootKey, (root) => {
        expect(formatRecoveryKey(root)).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){13}$/);
      }),
      { numRuns: 50 },
    );
  });

  it('gives back its root', () => {
    fc.assert(
      fc.property(anyRootKey, (root) => {
        const again = parseRecoveryKey(formatRecoveryKey(root));
        expect(toHex(again.bytes)).toBe(toHex(root.bytes));
        expect(again.id).toBe(root.id);
      }),
      { numRuns: 50 },
    );
  });

  it('is read in lower case, without hyphens, and with spaces and line breaks anywhere', () => {
    expect(idOf(TEXT.toLowerCase())).toBe(ID);
    expect(idOf(DIGITS)).toBe(ID);
    expect(idOf(TEXT.replaceAll('-', ' '))).toBe(ID);
    expect(idOf(`\n  ${TEXT.replaceAll('-', ' -\r\n\t')}\n`)).toBe(ID);
  });

  it('is read with letters that are easily taken for a digit', () => {
    fc.assert(
      fc.property(anyRootKey, fc.infiniteStream(fc.nat(2)), (root, choices) => {
        const misread = formatRecoveryKey(root).replaceAll(/[01]/g, (digit) =>
          (digit === '0' ? '0Oo' : '1Il').charAt(choices.next().value ?? 0),
        );
        expect(idOf(misread)).toBe(toHex(root.bytes));
      }),
      { numRuns: 50 },
    );
    const zeros = new RootKey(new Uint8Array(32));
    expect(idOf(formatRecoveryKey(zeros).replaceAll('0', 'O'))).toBe(toHex(zeros.bytes));
    const ones = new RootKey(Uint8Array.from({ length: 32 }, (_, i) => [0x08, 0x42, 0x10, 0x84, 0x21][i % 5] ?? 0));
    expect(formatRecoveryKey(ones)).toMatch(/^1{4}-/);
    expect(idOf(formatRecoveryKey(ones).replaceAll('1', 'l'))).toBe(toHex(ones.bytes));
    expect(idOf(formatRecoveryKey(ones).replaceAll('1', 'i'))).toBe(toHex(ones.bytes));
  });

  it('is refused with any one digit wrong', () => {
    for (let at = 0; at < DIGITS.length; at += 1) {
      for (const digit of ALPHABET.replace(DIGITS.charAt(at), '')) {
        expect(refused(DIGITS.slice(0, at) + digit + DIGITS.slice(at + 1))).toMatch(/checksum does not match/);
      }
    }
  });

  it('is refused with any two digits exchanged', () => {
    for (let a = 0; a < DIGITS.length; a += 1) {
      for (let b = a + 1; b < DIGITS.length; b += 1) {
        if (DIGITS.charAt(a) === DIGITS.charAt(b)) continue;
        const digits = Array.from(DIGITS);
        [digits[a], digits[b]] = [DIGITS.charAt(b), DIGITS.charAt(a)];
        expect(refused(digits.join(''))).toMatch(/checksum does not match/);
      }
    }
  });

  it('is refused with groups exchanged', () => {
    const groups = TEXT.split('-');
    expect(refused([...groups.slice(1), ...groups.slice(0, 1)].join('-'))).toMatch(/checksum does not match/);
  });

  it('is refused with digits missing or too many, and the error states how many there are', () => {
    for (let length = 0; length < DIGITS.length; length += 1)
      expect(refused(DIGITS.slice(0, length))).toMatch(`has ${length} digits; it must have 56`);
    expect(refused(`${TEXT}-0000`)).toMatch('has 60 digits; it must have 56');
  });

  it.each(['U', 'u', '!', '–', 'é', '🏔'])('is refused with %s in it, and the error states where', (strange) => {
    expect(refused(`${TEXT.slice(0, 7)}${strange}${TEXT.slice(8)}`)).toMatch(
      /an invalid character: '.+', character 3 of group 2\.$/,
    );
  });

  it('is refused with an error that does not contain it', () => {
    const errors = [
      TEXT.slice(0, -1),
      `${TEXT}0`,
      `${TEXT}U`,
      `${TEXT.slice(0, -1)}${TEXT.endsWith('7') ? '8' : '7'}`,
    ].map((text) => thrownBy(() => parseRecoveryKey(text)));
    for (const error of errors)
      for (const secret of [...TEXT.split('-'), ...spellings(ROOT.bytes)])
        expect(errorText(error)).not.toContain(secret);
  });
});
