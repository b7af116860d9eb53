// Writes test/vectors/*.json from the build (run `npm run build` first). Each run gives the same bytes: the committed files
// change only where vectors are added, because a changed vector is an envelope that can no longer be opened.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { encode } from '@ipld/dag-cbor';

const dist = (file) => import(new URL(`../dist/${file}`, import.meta.url));
const { dataKey } = await dist('infra/crypto/data-key.js');
const { addressOf, seal } = await dist('infra/crypto/envelope.js');
const { formatRecoveryKey } = await dist('infra/crypto/recovery-key.js');
const { RootKey } = await dist('infra/crypto/root-key.js');
const { sha256 } = await dist('infra/crypto/sha256.js');
const { sodium } = await dist('infra/crypto/sodium.js');
const { MerkleFrontier } = await dist('domain/merkle.js');
const { sealingEpoch } = await dist('domain/keyring.js');
const { canonicalJson } = await dist('infra/eventlog/canonical-json.js');

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const counting = (from, length) => Uint8Array.from({ length }, (_, i) => from + i);
const write = (name, content) =>
  writeFileSync(new URL(`../test/vectors/${name}.json`, import.meta.url), `${JSON.stringify(content, null, 2)}\n`);

const root = new RootKey(counting(0, 32));
const keys = [root.firstDataKey, dataKey(counting(0xa0, 32))];
const derived = (use) => sodium.crypto_kdf_derive_from_key(32, use, 'shrtroot', root.bytes);

function wrapped(origin, keyEpoch) {
  const key = keys[keyEpoch];
  const aad = encode([1, origin, keyEpoch, hex(key.id)]);
  const nonce = counting(0x40, 24);
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(key.bytes, aad, null, nonce, derived(3));
  const text = Buffer.concat([nonce, sealed]).toString('base64');
  if (root.unwrap(text, { origin, keyEpoch, keyId: hex(key.id) }) === undefined) throw new Error('it does not unwrap');
  return { origin, keyEpoch, keyId: hex(key.id), aad: hex(aad), wrappedKey: text };
}

write('keys', {
  root: hex(root.bytes),
  rootKeyId: root.id,
  signingSeed: hex(derived(2)),
  verifyKey: hex(Buffer.from(root.verifyKey.export({ format: 'jwk' }).x, 'base64url')),
  wrappingKey: hex(derived(3)),
  dataKeys: keys.map(({ bytes, id, encrypt, nonce }, keyEpoch) => ({
    keyEpoch,
    key: hex(bytes),
    id: hex(id),
    encrypt: hex(encrypt),
    nonce: hex(nonce),
  })),
  wrapped: [wrapped('core-1', 1)],
  recovery: [root.bytes, new Uint8Array(32), new Uint8Array(32).fill(255)].map((bytes) => ({
    root: hex(bytes),
    text: formatRecoveryKey(new RootKey(bytes)),
  })),
});

const metadata = {
  at: '2026-01-02T03:04:05.678Z',
  actor: 'operator',
  correlationId: '018f3f6e-7d3c-7cc0-8d4a-3a1f0c9f5b12',
  causationId: '018f3f6e-7d3c-7cc0-8d4a-3a1f0c9f5b13',
  schemaVersion: 1,
};
const AT = Date.parse(metadata.at);
const event = (stream, revision, type, data) =>
  canonicalJson(['018f3f6e-7d3c-7cc0-8d4a-3a1f0c9f5b11', stream, revision, type, data, metadata]);
const created = { missionId: 'm1', title: 'Ridge', description: 'North', metadata: { b: 1, a: 2 }, tags: ['t'] };
const unicode = { missionId: 'm1', title: 'Grat · 尾根 · гребень · 🏔️\u0080', description: '\u{1f9ed}'.repeat(9) };
const ofLength = (length) => {
  const without = event('mission-m1', 3, 'MissionUpdated', { description: '' });
  return event('mission-m1', 3, 'MissionUpdated', { description: 'x'.repeat(length - without.length) });
};

/** Name, key epoch, origin, sequence, etype, text: the numbers are those at which CBOR changes its length. */
const sealed = [
  ['an event', 0, 'core-1', 1, 10, event('mission-m1', 0, 'MissionCreated', created)],
  ['an event of the second key', 1, 'core-1', 1, 10, event('mission-m1', 0, 'MissionCreated', created)],
  ['an event without data', 0, 'core-1', 23, 23, event('mission-m1', 1, 'MissionUpdated', {})],
  ['unicode', 0, 'Grat-尾根', 24, 24, event('mission-m1', 2, 'MissionUpdated', unicode)],
  ['no text', 0, '', 255, 30, ''],
  ['63 bytes', 0, 'core-1', 256, 30, 'x'.repeat(63)],
  ['64 bytes', 0, 'core-1', 65_535, 30, 'x'.repeat(64)],
  ['an event of 320 bytes', 1, 'core-1', 65_536, 11, ofLength(320)],
  ['an event of 1 KiB', 1, 'o'.repeat(24), 4_294_967_295, 11, ofLength(1024)],
  ['the last sequence', 1, 'o'.repeat(256), Number.MAX_SAFE_INTEGER, 11, ofLength(385)],
];

write(
  'envelopes',
  sealed.map(([name, keyEpoch, origin, sequence, etype, text], i) => {
    const key = keys[keyEpoch];
    const place = { origin, sequence, etype, at: AT + i };
    const envelope = seal(key, place, text);
    const aad = encode([1, origin, sequence, etype, place.at]);
    const [nonce, ciphertext] = [envelope.subarray(17, 41), envelope.subarray(41)];
    const padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, ciphertext, aad, nonce, key.encrypt);
    const parts = { aad: hex(aad), padded: hex(padded), nonce: hex(nonce), envelope: hex(envelope) };
    return { name, keyEpoch, ...place, text, ...parts, eid: hex(addressOf(envelope)) };
  }),
);

const tree = new MerkleFrontier(sha256);
const roots = [];
for (let size = 0; size <= 1000; size += 1) {
  if (size > 0) tree.append(createHash('sha256').update(String(size)).digest());
  if (size <= 10 || size === 1000) roots.push({ size, root: hex(tree.root()) });
}
write('roots', { eid: 'SHA-256 of the sequence, from 1, in decimal digits (ASCII)', roots });

const epochs = [
  { keyEpoch: 1, sequence: 4 },
  { keyEpoch: 2, sequence: 5 },
  { keyEpoch: 3, sequence: 9 },
];
write('epochs', {
  epochs,
  events: Array.from({ length: 12 }, (_, i) => {
    const sequence = i + 1;
    const type = epochs.some((epoch) => epoch.sequence === sequence) ? 'KeyRotated' : 'JobCreated';
    return { sequence, type, keyEpoch: sealingEpoch(epochs, { sequence, type })?.keyEpoch ?? 0 };
  }),
});
