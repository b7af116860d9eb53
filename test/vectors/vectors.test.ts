import { encode } from '@ipld/dag-cbor';
import { describe, expect, it } from 'vitest';
import { ETYPES } from '../../src/domain/event.js';
import { sealingEpoch } from '../../src/domain/keyring.js';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { toHex } from '../../src/infra/crypto/bytes.js';
import { dataKey } from '../../src/infra/crypto/data-key.js';
import { addressOf, keyIdOf, open, seal } from '../../src/infra/crypto/envelope.js';
import { formatRecoveryKey, parseRecoveryKey } from '../../src/infra/crypto/recovery-key.js';
import { RootKey } from '../../src/infra/crypto/root-key.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import { sodium } from '../../src/infra/crypto/sodium.js';
import { bytesOf, envelopeVectors, epochVectors, keyVectors, rootVectors } from './vectors.js';

const root = new RootKey(bytesOf(keyVectors.root));
const keys = keyVectors.dataKeys.map(({ key }) => dataKey(bytesOf(key)));

describe('the keys of the vectors', () => {
  it('are derived from the root key', () => {
    expect(root.id).toBe(keyVectors.rootKeyId);
    expect(toHex(root.firstDataKey.bytes)).toBe(keyVectors.dataKeys[0]?.key);
    const { d, x } = root.signingKey.export({ format: 'jwk' });
    expect(Buffer.from(`${d}`, 'base64url').toString('hex')).toBe(keyVectors.signingSeed);
    expect(Buffer.from(`${x}`, 'base64url').toString('hex')).toBe(keyVectors.verifyKey);
    expect(root.verifyKey.export({ format: 'jwk' }).x).toBe(x);
  });

  it.each(keyVectors.dataKeys)('are derived from the data key of epoch $keyEpoch', (vector) => {
    const { bytes, id, encrypt, nonce } = dataKey(bytesOf(vector.key));
    expect({
      keyEpoch: vector.keyEpoch,
      key: toHex(bytes),
      id: toHex(id),
      encrypt: toHex(encrypt),
      nonce: toHex(nonce),
    }).toStrictEqual(vector);
  });

  it.each(keyVectors.wrapped)('unwrap for epoch $keyEpoch, with the wrapping key and at the place given', (vector) => {
    const expected = keyVectors.dataKeys[vector.keyEpoch]?.key;
    expect(toHex(root.unwrap(vector.wrappedKey, vector)?.bytes ?? new Uint8Array())).toBe(expected);

    const again = root.wrap(dataKey(bytesOf(`${expected}`)), vector.origin, vector.keyEpoch);
    expect(again).toHaveLength(vector.wrappedKey.length);
    const sealed = Buffer.from(again, 'base64');
    const key = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      null,
      sealed.subarray(24),
      bytesOf(vector.aad),
      sealed.subarray(0, 24),
      bytesOf(keyVectors.wrappingKey),
    );
    expect(toHex(key)).toBe(expected);
  });

  it.each(keyVectors.recovery)('are kept as $text', ({ root: bytes, text }) => {
    expect(formatRecoveryKey(new RootKey(bytesOf(bytes)))).toBe(text);
    expect(toHex(parseRecoveryKey(text).bytes)).toBe(bytes);
  });
});

describe('the envelopes of the vectors', () => {
  it.each(envelopeVectors)('are the result of sealing, with all intermediate values: $name', (vector) => {
    const key = keys[vector.keyEpoch]!;
    const envelope = seal(key, vector, vector.text);
    expect(toHex(envelope)).toBe(vector.envelope);
    expect(toHex(addressOf(envelope))).toBe(vector.eid);
    expect(toHex(keyIdOf(envelope))).toBe(keyVectors.dataKeys[vector.keyEpoch]?.id);
    expect(toHex(envelope.subarray(17, 41))).toBe(vector.nonce);
    expect(open(key, vector, bytesOf(vector.envelope))).toBe(vector.text);

    expect(toHex(encode([1, vector.origin, vector.sequence, vector.etype, vector.at]))).toBe(vector.aad);
    const padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      null,
      envelope.subarray(41),
      bytesOf(vector.aad),
      bytesOf(vector.nonce),
      key.encrypt,
    );
    expect(toHex(padded)).toBe(vector.padded);
    expect(toHex(sodium.crypto_generichash(24, bytesOf(vector.aad + vector.padded), key.nonce))).toBe(vector.nonce);
  });

  it('have etypes of the catalogue', () => {
    const known: readonly number[] = Object.values(ETYPES);
    expect(envelopeVectors.filter(({ etype }) => !known.includes(etype))).toEqual([]);
  });

  it('are all different, and so are their nonces', () => {
    expect(new Set(envelopeVectors.map(({ eid }) => eid)).size).toBe(envelopeVectors.length);
    expect(new Set(envelopeVectors.map(({ nonce }) => nonce)).size).toBe(envelopeVectors.length);
  });
});

describe('the roots of the vectors', () => {
  it('are those of the tree as it grows', () => {
    const roots = new Map<number, string>();
    const tree = new MerkleFrontier(sha256);
    for (let sequence = 1; sequence <= 1000; sequence += 1) {
      roots.set(tree.size, toHex(tree.root()));
      tree.append(sha256(Buffer.from(`${sequence}`)));
    }
    roots.set(tree.size, toHex(tree.root()));
    expect(rootVectors.roots.map(({ size }) => size)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000]);
    for (const { size, root: expected } of rootVectors.roots) expect(roots.get(size)).toBe(expected);
  });
});

describe('the key epochs of the vectors', () => {
  it.each(epochVectors.events)('seal sequence $sequence with the key of epoch $keyEpoch', (event) => {
    expect(sealingEpoch(epochVectors.epochs, event)?.keyEpoch ?? 0).toBe(event.keyEpoch);
  });
});
