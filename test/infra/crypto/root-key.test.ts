import { inspect } from 'node:util';
import { sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toBase64, toHex } from '../../../src/infra/crypto/bytes.js';
import { dataKey } from '../../../src/infra/crypto/data-key.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { anyDataKey, anyRootKey, flipped, spellings, thrownBy, errorText } from './support.js';

const ROOT = new RootKey(Uint8Array.from({ length: 32 }, (_, i) => 3 * i));
const KEY = dataKey(Uint8Array.from({ length: 32 }, (_, i) => 5 * i));
const PLACE = { origin: 'core-1', keyEpoch: 3, keyId: toHex(KEY.id) };

const jwk = (root: RootKey) => root.signingKey.export({ format: 'jwk' });

describe('a root key', () => {
  it('gives the same keys each time', () => {
    fc.assert(
      fc.property(anyRootKey, (root) => {
        const again = new RootKey(Uint8Array.from(root.bytes));
        expect(again.id).toBe(root.id);
        expect(again.firstDataKey).toEqual(root.firstDataKey);
        expect(jwk(again)).toEqual(jwk(root));
      }),
      { numRuns: 30 },
    );
  });

  it('gives a key for each use, all different from itself', () => {
    fc.assert(
      fc.property(anyRootKey, (root) => {
        const seed = Buffer.from(`${jwk(root).d}`, 'base64url');
        const keys = [root.bytes, root.firstDataKey.bytes, root.firstDataKey.encrypt, root.firstDataKey.nonce, seed];
        expect(new Set(keys.map(toHex)).size).toBe(keys.length);
      }),
      { numRuns: 30 },
    );
  });

  it('is a new one each time it is generated', () => {
    const made = Array.from({ length: 20 }, () => RootKey.generate());
    expect(new Set(made.map(({ id }) => id)).size).toBe(made.length);
    for (const root of made) expect(root.bytes).toHaveLength(32);
  });

  it('makes signatures that only its verify key verifies', () => {
    const message = Buffer.from('head');
    const signature = sign(null, message, ROOT.signingKey);
    expect(ROOT.signingKey.asymmetricKeyType).toBe('ed25519');
    expect(verify(null, message, ROOT.verifyKey, signature)).toBe(true);
    expect(verify(null, Buffer.from('other'), ROOT.verifyKey, signature)).toBe(false);
    expect(verify(null, message, RootKey.generate().verifyKey, signature)).toBe(false);
  });

  it('shows no secret in its verify key', () => {
    expect(ROOT.verifyKey.type).toBe('public');
    expect(ROOT.verifyKey.export({ format: 'jwk' })).not.toHaveProperty('d');
  });

  it.each([0, 31, 33])('cannot have %d bytes, and the error does not contain them', (length) => {
    const bytes = new Uint8Array(length).fill(0xa7);
    const error = thrownBy(() => new RootKey(bytes));
    expect(error).toBeInstanceOf(RangeError);
    for (const secret of spellings(bytes).filter((spelling) => spelling !== ''))
      expect(errorText(error)).not.toContain(secret);
  });
});

describe('a wrapped key', () => {
  it('is unwrapped at its place by its root', () => {
    fc.assert(
      fc.property(anyRootKey, anyDataKey, fc.string({ unit: 'grapheme' }), fc.nat(), (root, key, origin, keyEpoch) => {
        const wrapped = root.wrap(key, origin, keyEpoch);
        expect(root.unwrap(wrapped, { origin, keyEpoch, keyId: toHex(key.id) })).toEqual(key);
      }),
      { numRuns: 50 },
    );
  });

  it('is a different text each time, of the same length', () => {
    const texts = Array.from({ length: 20 }, () => ROOT.wrap(KEY, 'core-1', 3));
    expect(new Set(texts).size).toBe(texts.length);
    for (const text of texts) expect(Buffer.from(text, 'base64')).toHaveLength(24 + 32 + 16);
  });

  it.each([
    ['origin', { origin: 'core-2' }],
    ['key epoch', { keyEpoch: 4 }],
    ['key id', { keyId: toHex(dataKey(new Uint8Array(32)).id) }],
    ['no key id', { keyId: '' }],
  ])('is not unwrapped for another place: %s', (_, other) => {
    expect(ROOT.unwrap(ROOT.wrap(KEY, 'core-1', 3), { ...PLACE, ...other })).toBeUndefined();
  });

  it('is not unwrapped for another root', () => {
    expect(RootKey.generate().unwrap(ROOT.wrap(KEY, 'core-1', 3), PLACE)).toBeUndefined();
  });

  it('is not unwrapped when any bit of it is flipped', () => {
    const wrapped = Buffer.from(ROOT.wrap(KEY, 'core-1', 3), 'base64');
    for (let bit = 0; bit < wrapped.length * 8; bit += 1)
      expect(ROOT.unwrap(toBase64(flipped(wrapped, bit)), PLACE)).toBeUndefined();
  });

  it('is not unwrapped when it is cut, empty or not base64', () => {
    const wrapped = ROOT.wrap(KEY, 'core-1', 3);
    for (let length = 0; length < wrapped.length; length += 1)
      expect(ROOT.unwrap(wrapped.slice(0, length), PLACE)).toBeUndefined();
    expect(ROOT.unwrap('€ 尾根', PLACE)).toBeUndefined();
  });

  it('is refused when it is not the key that its id names', () => {
    const impostor = { ...dataKey(new Uint8Array(32)), id: KEY.id };
    expect(ROOT.unwrap(ROOT.wrap(impostor, 'core-1', 3), PLACE)).toBeUndefined();
  });
});

describe('keys that are logged by mistake', () => {
  it('show only their ids', () => {
    const root = RootKey.generate();
    const key = root.firstDataKey;
    const written = [root, key, { root, key }].flatMap((value) => [
      inspect(value, { depth: 9 }),
      JSON.stringify(value),
    ]);
    for (const text of written) {
      for (const secret of [root.bytes, key.bytes, key.encrypt, key.nonce]) {
        expect(text).not.toContain(Buffer.from(secret).toString('hex'));
        expect(text).not.toContain(JSON.stringify(secret));
        expect(text).not.toContain(Array.from(secret.subarray(0, 6)).join(', '));
      }
      expect(text).toMatch(new RegExp(`${root.id}|${Buffer.from(key.id).toString('hex')}`));
    }
  });
});
