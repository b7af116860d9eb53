import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes, toHex } from '../../../src/infra/crypto/bytes.js';
import { dataKey } from '../../../src/infra/crypto/data-key.js';
import {
  addressOf,
  EnvelopeError,
  keyIdOf,
  open,
  seal,
  type EnvelopePlace,
} from '../../../src/infra/crypto/envelope.js';
import { sha256 } from '../../../src/infra/crypto/sha256.js';
import { sodium } from '../../../src/infra/crypto/sodium.js';
import { anyDataKey, anyPlace, anyText, flipped, spellings, thrownBy, errorText } from './support.js';

const KEY = dataKey(Uint8Array.from({ length: 32 }, (_, i) => 7 * i));
const PLACE: EnvelopePlace = { origin: 'core-1', sequence: 42, etype: 10, at: 1_767_323_045_678 };
/** The size of the version, key id and nonce, which precede the ciphertext. */
const HEAD_BYTES = 1 + 16 + 24;
const TAG_BYTES = 16;

function codeOf(act: () => unknown): EnvelopeError['code'] {
  const error = thrownBy(act);
  if (error instanceof EnvelopeError) return error.code;
  throw error;
}

/** An envelope that is valid except for its plaintext. */
function sealedRaw(plaintext: Uint8Array): Uint8Array {
  const aad = encode([1, PLACE.origin, PLACE.sequence, PLACE.etype, PLACE.at]);
  const nonce = new Uint8Array(24);
  const ciphertext = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, null, nonce, KEY.encrypt);
  return Buffer.concat([Uint8Array.of(1), KEY.id, nonce, ciphertext]);
}

describe('sealing', () => {
  it('gives the same bytes each time', () => {
    fc.assert(
      fc.property(anyDataKey, anyPlace, anyText, (key, place, text) => {
        const again = dataKey(Uint8Array.from(key.bytes));
        expect(equalBytes(seal(key, place, text), seal(again, { ...place }, text))).toBe(true);
      }),
    );
  });

  it('is undone by opening', () => {
    fc.assert(
      fc.property(anyDataKey, anyPlace, anyText, (key, place, text) => {
        expect(open(key, place, seal(key, place, text))).toBe(text);
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a byte-order mark', '\ufeff[]'],
    ['zeros at its end', '[]\0\0'],
    ['what looks like padding at its end', '\u0080\0'],
    ['more than a block', 'x'.repeat(100_000)],
  ])('keeps %s', (_, text) => {
    expect(open(KEY, PLACE, seal(KEY, PLACE, text))).toBe(text);
  });

  it('reveals of a text only how many blocks of 64 bytes it fills together with one byte of padding', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const blocks = Math.ceil((Buffer.byteLength(text) + 1) / 64);
        expect(seal(KEY, PLACE, text)).toHaveLength(HEAD_BYTES + 64 * blocks + TAG_BYTES);
      }),
    );
  });

  it.each([
    [0, 64],
    [63, 64],
    [64, 128],
    [127, 128],
    [128, 192],
  ])('pads %d bytes to %d', (length, padded) => {
    expect(seal(KEY, PLACE, 'x'.repeat(length))).toHaveLength(HEAD_BYTES + padded + TAG_BYTES);
  });

  it('names the version and the key in front', () => {
    fc.assert(
      fc.property(anyDataKey, anyPlace, anyText, (key, place, text) => {
        const envelope = seal(key, place, text);
        expect(envelope[0]).toBe(1);
        expect(toHex(keyIdOf(envelope))).toBe(toHex(key.id));
      }),
    );
  });

  it('uses a different nonce for each text, place and key', () => {
    const nonceOf = (envelope: Uint8Array) => toHex(envelope.subarray(17, HEAD_BYTES));
    const nonces = [
      seal(KEY, PLACE, '[1]'),
      seal(KEY, PLACE, '[2]'),
      seal(KEY, PLACE, '[1]\0'),
      seal(KEY, { ...PLACE, origin: 'core-2' }, '[1]'),
      seal(KEY, { ...PLACE, sequence: 43 }, '[1]'),
      seal(KEY, { ...PLACE, etype: 11 }, '[1]'),
      seal(KEY, { ...PLACE, at: PLACE.at + 1 }, '[1]'),
      seal(dataKey(new Uint8Array(32)), PLACE, '[1]'),
    ].map(nonceOf);
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  it('leaves no part of the text visible', () => {
    const text = 'the ridge is held';
    expect(Buffer.from(seal(KEY, PLACE, text)).includes(text)).toBe(false);
  });

  it('changes neither key nor place', () => {
    const before = toHex(KEY.bytes) + toHex(KEY.encrypt) + toHex(KEY.nonce) + toHex(KEY.id);
    seal(KEY, Object.freeze({ ...PLACE }), '[]');
    expect(toHex(KEY.bytes) + toHex(KEY.encrypt) + toHex(KEY.nonce) + toHex(KEY.id)).toBe(before);
  });
});

describe('an envelope', () => {
  it('is refused for any one bit that is flipped', () => {
    const envelope = seal(KEY, PLACE, '["x"]');
    for (let bit = 0; bit < envelope.length * 8; bit += 1) {
      const expected = bit < 8 ? 'VERSION_UNKNOWN' : bit < 8 * 17 ? 'KEY_UNKNOWN' : 'FORGED';
      expect(codeOf(() => open(KEY, PLACE, flipped(envelope, bit)))).toBe(expected);
    }
  });

  it('is refused for a flipped bit regardless of its content', () => {
    fc.assert(
      fc.property(anyDataKey, anyPlace, anyText, fc.nat(), (key, place, text, at) => {
        const envelope = seal(key, place, text);
        const changed = flipped(envelope, at % (8 * envelope.length));
        expect(thrownBy(() => open(key, place, changed))).toBeInstanceOf(EnvelopeError);
      }),
    );
  });

  it('is refused at any other place', () => {
    const fields = ['origin', 'sequence', 'etype', 'at'] as const;
    fc.assert(
      fc.property(
        anyDataKey,
        anyPlace,
        anyPlace,
        fc.constantFrom(...fields),
        anyText,
        (key, place, other, field, text) => {
          fc.pre(place[field] !== other[field]);
          const envelope = seal(key, place, text);
          expect(codeOf(() => open(key, { ...place, [field]: other[field] }, envelope))).toBe('FORGED');
        },
      ),
    );
  });

  it.each<[string, Partial<EnvelopePlace>]>([
    ['the origin in other letters', { origin: 'Core-1' }],
    ['the origin with what follows it', { origin: 'core-12' }],
    ['the next sequence', { sequence: 43 }],
    ['the neighbouring etype', { etype: 11 }],
    ['a millisecond later', { at: PLACE.at + 1 }],
    ['sequence and etype exchanged', { sequence: PLACE.etype, etype: PLACE.sequence }],
  ])('is refused for %s', (_, other) => {
    const envelope = seal(KEY, PLACE, '[]');
    expect(codeOf(() => open(KEY, { ...PLACE, ...other }, envelope))).toBe('FORGED');
  });

  it('is refused under every other key with KEY_UNKNOWN', () => {
    fc.assert(
      fc.property(anyDataKey, anyDataKey, anyPlace, anyText, (key, other, place, text) => {
        fc.pre(!equalBytes(key.bytes, other.bytes));
        expect(codeOf(() => open(other, place, seal(key, place, text)))).toBe('KEY_UNKNOWN');
      }),
    );
  });

  it('is refused under another key that has its id', () => {
    const impostor = { ...dataKey(new Uint8Array(32)), id: KEY.id };
    expect(codeOf(() => open(KEY, PLACE, seal(impostor, PLACE, '[]')))).toBe('FORGED');
  });

  it('is refused when it is shortened or extended', () => {
    const envelope = seal(KEY, PLACE, 'x'.repeat(64));
    const shortest = HEAD_BYTES + 64 + TAG_BYTES;
    for (let length = 0; length < envelope.length; length += 1) {
      const expected = length < shortest ? 'MALFORMED' : 'FORGED';
      expect(codeOf(() => open(KEY, PLACE, envelope.subarray(0, length)))).toBe(expected);
    }
    expect(codeOf(() => open(KEY, PLACE, Buffer.concat([envelope, Uint8Array.of(0)])))).toBe('FORGED');
  });

  it('is refused when it is not an envelope', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(thrownBy(() => open(KEY, PLACE, bytes))).toBeInstanceOf(EnvelopeError);
      }),
    );
  });

  it.each([
    ['only zeros', new Uint8Array(64)],
    ['text to its end', new Uint8Array(64).fill(0x61)],
    ['something behind its padding', Uint8Array.from({ length: 64 }, (_, i) => (i === 9 ? 0x80 : i === 63 ? 1 : 0))],
  ])('that contains %s is refused for its padding', (_, plaintext) => {
    expect(codeOf(() => open(KEY, PLACE, sealedRaw(plaintext)))).toBe('MALFORMED');
  });

  it('opens wherever its bytes are in memory', () => {
    const envelope = seal(KEY, PLACE, '["x"]');
    const within = Buffer.concat([new Uint8Array(5), envelope, new Uint8Array(9)]).subarray(5, 5 + envelope.length);
    expect(open(KEY, PLACE, within)).toBe('["x"]');
    expect(toHex(addressOf(within))).toBe(toHex(addressOf(envelope)));
  });

  it('has SHA-256 of it as its address', () => {
    const envelope = seal(KEY, PLACE, '[]');
    expect(toHex(addressOf(envelope))).toBe(toHex(sha256(envelope)));
  });

  it('is refused with an error that contains neither the key nor the text', () => {
    const text = 'the ridge is held';
    const envelope = seal(KEY, PLACE, text);
    const messages = [
      thrownBy(() => open(dataKey(new Uint8Array(32)), PLACE, envelope)),
      thrownBy(() => open(KEY, { ...PLACE, etype: 11 }, envelope)),
      thrownBy(() => open(KEY, PLACE, envelope.subarray(1))),
      thrownBy(() => open(KEY, PLACE, envelope.subarray(0, 50))),
      thrownBy(() => open(KEY, PLACE, sealedRaw(Buffer.from(text)))),
    ].map(errorText);
    const secrets = [text, ...[KEY.bytes, KEY.encrypt, KEY.nonce].flatMap(spellings)];
    for (const message of messages) for (const secret of secrets) expect(message).not.toContain(secret);
  });
});
