import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { toBase64, toHex } from '../../src/infra/crypto/bytes.js';
import { fingerprintOf } from '../../src/infra/crypto/signing.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';
import {
  answerSignature,
  bodyHashOf,
  hostKeyOf,
  isAnswerSignature,
  isRequestSignature,
  requestSignature,
} from '../../src/infra/offgrid/protocol/authentication.js';
import { decodeBatch, encodeBatch } from '../../src/infra/offgrid/protocol/batch.js';
import { openClaim, signClaim, type Claim } from '../../src/infra/offgrid/protocol/claim.js';
import { decodeClaimBody, encodeClaimBody } from '../../src/infra/offgrid/protocol/claim-body.js';
import { decodeEntry, encodeEntry, entryOf, leafHash } from '../../src/infra/offgrid/protocol/entry.js';
import { NOT_ELECTED } from '../../src/infra/offgrid/protocol/fields.js';
import {
  decodeHeadAnswer,
  openHead,
  openStatements,
  signHead,
  type Head,
} from '../../src/infra/offgrid/protocol/head.js';
import { decodeMend, encodeMend } from '../../src/infra/offgrid/protocol/mend.js';
import { decodeRefusal, encodeRefusal, type Refusal } from '../../src/infra/offgrid/protocol/refusal.js';
import { encodeSigned, type SignedKind, type SignedThing } from '../../src/infra/offgrid/protocol/signed.js';
import { decodeStrict } from '../../src/infra/offgrid/protocol/strict-cbor.js';
import { isComplete, openTree, signTree, type Tree } from '../../src/infra/offgrid/protocol/tree.js';
import { isSmallOrder, isVerifyKey, verifyKey, verifyKeyOf } from '../../src/infra/offgrid/protocol/verify-key.js';
import { codeOf } from '../support/offgrid/protocol-2.js';
import { bytesOf, protocolVectors as vectors, type SignedVector } from './vectors.js';

/** Plain bytes, as decoding gives them. */
const bytes = (hex: string) => Uint8Array.from(bytesOf(hex));

function privateKeyOf(seed: string) {
  const key = Buffer.concat([bytesOf('302e020100300506032b657004220420'), bytesOf(seed)]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

const origin = { privateKey: privateKeyOf(vectors.originSeed), key: verifyKey(bytes(vectors.originVerifyKey), 'key') };
const host = { privateKey: privateKeyOf(vectors.hostSeed), key: verifyKey(bytes(vectors.hostVerifyKey), 'key') };
const events = vectors.events.map(({ sequence, etype, ts, sealed }) => ({
  sequence,
  etype,
  ts,
  sealed: bytes(sealed),
}));
const rootAt = (sequence: number) => bytes(vectors.events[sequence - 1]!.root);

function thing<Kind extends SignedKind>(kind: Kind, { context, content, signature }: SignedVector): SignedThing<Kind> {
  expect(context).toBe(`sheratan/2 ${kind}\\n`);
  return { kind, content: bytes(content), signature: bytes(signature) };
}

const claim: Claim = {
  host: vectors.fingerprint,
  epoch: 5,
  origin: 'core-1',
  writer: '01HZX3J9Q2M4N6P8R0T2V4W6Y8:3f9c1a2b4d5e6f70',
};
const tree: Tree = {
  ts: 1_700_000_000_500,
  base: 2,
  line: 1,
  root: rootAt(3),
  begun: rootAt(1),
  epoch: 5,
  origin: claim.origin,
  quorum: 2,
  writer: claim.writer,
  sequence: 3,
  quorumRoot: rootAt(2),
};
const treeNotElected: Tree = {
  ...tree,
  ts: 1_700_000_000_600,
  base: NOT_ELECTED,
  sequence: 4,
  root: rootAt(4),
  quorum: 0,
  quorumRoot: bytes(vectors.rootOfNothing),
};
const head: Head = {
  ts: 1_700_000_000_700,
  key: bytes(vectors.originVerifyKey),
  host: vectors.fingerprint,
  tree: thing('tree', vectors.tree),
  claim: thing('claim', vectors.claim),
  origin: claim.origin,
  staged: thing('tree', vectors.treeNotElected),
  damaged: 0,
  request: Uint8Array.from(sha256(bytesOf(vectors.bodies.emptyBatch))),
};
const headOfNothing: Head = {
  ...head,
  key: null,
  tree: null,
  claim: null,
  origin: 'unknown',
  staged: null,
  request: bytes(vectors.headOfNothing.challenge),
};

describe('the entries of protocol 2', () => {
  it.each(vectors.events)('are those of event $sequence', ({ sequence, etype, ts, sealed, eid, entry, leaf }) => {
    const made = entryOf({ etype, ts, sealed: bytes(sealed) });
    expect(toHex(made.eid)).toBe(eid);
    expect(toHex(encodeEntry(made))).toBe(entry);
    expect(decodeEntry(bytes(entry))).toEqual({ etype, ts, eid: bytes(eid) });
    expect(toHex(leafHash(bytes(entry)))).toBe(leaf);
    expect(events[sequence - 1]).toMatchObject({ sequence, etype, ts });
  });

  it('have the roots of the tree as it grows', () => {
    const frontier = new MerkleFrontier(sha256);
    expect(toHex(frontier.root())).toBe(vectors.rootOfNothing);
    for (const { entry, root } of vectors.events) {
      frontier.append(bytes(entry));
      expect(toHex(frontier.root())).toBe(root);
    }
  });
});

describe('the signed statements of protocol 2', () => {
  it('are signed by the keys of their seeds', () => {
    expect(verifyKeyOf(createPublicKey(origin.privateKey))).toEqual(bytesOf(vectors.originVerifyKey));
    expect(verifyKeyOf(createPublicKey(host.privateKey))).toEqual(bytesOf(vectors.hostVerifyKey));
    expect(fingerprintOf(toBase64(host.key))).toBe(vectors.fingerprint);
  });

  it('are signed to the same bytes', () => {
    expect(signClaim(claim, origin.privateKey)).toEqual(thing('claim', vectors.claim));
    expect(signTree(tree, origin.privateKey)).toEqual(thing('tree', vectors.tree));
    expect(signTree(treeNotElected, origin.privateKey)).toEqual(thing('tree', vectors.treeNotElected));
    expect(signHead(head, host.privateKey)).toEqual(thing('head', vectors.head));
    expect(signHead(headOfNothing, host.privateKey)).toEqual(thing('head', vectors.headOfNothing));
  });

  it('open to the signed content', () => {
    expect(openClaim(thing('claim', vectors.claim), origin.key).value).toEqual(claim);
    expect(openTree(thing('tree', vectors.tree), origin.key).value).toEqual(tree);
    expect(openTree(thing('tree', vectors.treeNotElected), origin.key).value).toEqual(treeNotElected);
    expect(openHead(thing('head', vectors.head), host.key).value).toEqual(head);
    expect(openHead(thing('head', vectors.headOfNothing), host.key).value).toEqual(headOfNothing);
    const statements = openStatements(head, origin.key);
    expect(statements.tree?.value).toEqual(tree);
    expect(statements.claim?.value).toEqual(claim);
    expect(statements.staged?.value).toEqual(treeNotElected);
    expect([isComplete(tree), isComplete(treeNotElected)]).toEqual([true, false]);
  });

  it('have the sizes of the vectors', () => {
    const { claim: claimBytes, tree: treeBytes, head: headBytes } = vectors.sizes;
    expect(signClaim(claim, origin.privateKey).content).toHaveLength(claimBytes);
    expect(signTree(tree, origin.privateKey).content).toHaveLength(treeBytes);
    expect(signHead(head, host.privateKey).content).toHaveLength(headBytes);
  });
});

describe('the bodies of protocol 2', () => {
  const { bodies } = vectors;

  it('are encoded to the same bytes, and decode to the original values', () => {
    const claimBody = { key: origin.key, claim: thing('claim', vectors.claim), challenge: new Uint8Array(16).fill(9) };
    expect(toHex(encodeClaimBody(claimBody))).toBe(bodies.claim);
    expect(decodeClaimBody(bytes(bodies.claim))).toEqual(claimBody);

    const signedTree = thing('tree', vectors.tree);
    const { sequence: _, ...third } = events[2]!;
    for (const [batch, body] of [
      [{ from: 4, tree: signedTree, events: [] }, bodies.emptyBatch],
      [{ from: 3, tree: signedTree, events: [third] }, bodies.batchOfOne],
    ] as const) {
      expect(toHex(encodeBatch(batch))).toBe(body);
      expect(decodeBatch(bytes(body))).toEqual(batch);
    }

    const mend = { events: [events[1]!] };
    expect(toHex(encodeMend(mend))).toBe(bodies.mend);
    expect(decodeMend(bytes(bodies.mend))).toEqual(mend);

    expect(toHex(encodeSigned(thing('head', vectors.head)))).toBe(bodies.head);
    expect(decodeHeadAnswer(bytes(bodies.head))).toEqual(thing('head', vectors.head));
  });

  it.each<[Refusal, string]>([
    [
      { code: 'FENCED', claim: thing('claim', vectors.claim), message: 'another process was granted epoch 5' },
      bodies.fenced,
    ],
    [{ code: 'BUSY', wait: 3, message: 'try again' }, bodies.busy],
  ])('refuse: $code', (refusal, body) => {
    expect(toHex(encodeRefusal(refusal))).toBe(body);
    expect(decodeRefusal(bytes(body))).toEqual(refusal);
  });
});

describe('the HMACs of protocol 2', () => {
  const key = hostKeyOf(vectors.hostKey.authKey, vectors.fingerprint);

  it('are made with the key of the host', () => {
    expect(toHex(key)).toBe(vectors.hostKey.key);
  });

  it('are those of a request and of an answer', () => {
    const { method, path, date, nonce, hmac } = vectors.requestHmac;
    const bodyHash = bodyHashOf(bytes(vectors.bodies.emptyBatch));
    const request = { host: vectors.fingerprint, method, path, date, nonce, bodyHash };
    expect(requestSignature(key, request)).toBe(hmac);
    expect(isRequestSignature(key, request, hmac)).toBe(true);

    const { status } = vectors.answerHmac;
    const body = bytes(vectors.bodies.head);
    const answer = { host: vectors.fingerprint, nonce: vectors.answerHmac.nonce, status, body };
    expect(answerSignature(key, answer)).toBe(vectors.answerHmac.hmac);
    expect(isAnswerSignature(key, answer, vectors.answerHmac.hmac)).toBe(true);
  });
});

describe('what protocol 2 refuses', () => {
  it.each(vectors.refused)('is refused: $why', ({ map, key, tree: incomplete, entry, leaf }) => {
    let checks = 0;
    if (map !== undefined) {
      checks += 1;
      expect(codeOf(() => decodeStrict(bytes(map), 'the map'))).toBe('MALFORMED');
    }
    if (key !== undefined) {
      checks += 1;
      expect(isSmallOrder(bytes(key))).toBe(true);
      expect(isVerifyKey(bytes(key))).toBe(false);
    }
    if (incomplete !== undefined) {
      checks += 1;
      const signed = thing('tree', incomplete);
      expect(isComplete(openTree(signed, origin.key).value)).toBe(false);
      expect(codeOf(() => openStatements({ ...head, tree: signed }, origin.key))).toBe('MALFORMED');
    }
    if (entry !== undefined && leaf !== undefined) {
      checks += 1;
      expect(decodeEntry(bytes(entry)).eid).toEqual(bytes(vectors.events[0]!.eid));
      expect(toHex(leafHash(bytes(entry)))).toBe(leaf);
      expect(leaf).not.toBe(vectors.events[0]!.leaf);
    }
    expect(checks).toBe(1);
  });
});
