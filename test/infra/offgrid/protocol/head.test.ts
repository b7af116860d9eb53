import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import {
  decodeHeadAnswer,
  openHead,
  openStatements,
  signHead,
  type Head,
} from '../../../../src/infra/offgrid/protocol/head.js';
import { encodeSigned, pairOf } from '../../../../src/infra/offgrid/protocol/signed.js';
import { signTree } from '../../../../src/infra/offgrid/protocol/tree.js';
import {
  claims,
  clockLimits,
  clockTimes,
  codeOf,
  counted,
  countLimits,
  fingerprintLimits,
  fingerprints,
  hashes,
  hashLimits,
  messageOf,
  newKeys,
  originLimits,
  origins,
  signContent,
  signMap,
  trees,
  without,
  withMember,
  type Limits,
} from '../../../support/offgrid/protocol-2.js';

const [origin, host] = [newKeys(), newKeys()];
const [claim] = fc.sample(claims, 1).map((each) => signClaim({ ...each, origin: 'core-1' }, origin.privateKey));
const [tree] = fc.sample(trees, 1).map((each) => signTree({ ...each, origin: 'core-1' }, origin.privateKey));
const signedTrees = trees.map((each) => signTree(each, origin.privateKey));
const signedClaims = claims.map((each) => signClaim(each, origin.privateKey));

const heads: fc.Arbitrary<Head> = fc.record(
  {
    ts: clockTimes,
    key: fc.option(hashes),
    host: fingerprints,
    tree: fc.option(signedTrees),
    claim: fc.option(signedClaims),
    origin: origins,
    staged: fc.option(signedTrees),
    damaged: counted,
    request: hashes,
  },
  { noNullPrototype: true },
);
const head = {
  ts: 1,
  key: new Uint8Array(32),
  host: 'f'.repeat(32),
  tree: pairOf(tree!),
  claim: pairOf(claim!),
  origin: 'core-1',
  staged: null,
  damaged: 0,
  request: new Uint8Array(32),
};

const pair = (bytes: number) => [new Uint8Array(bytes), new Uint8Array(64)];
const signedLimits = {
  inside: [null, pair(1), pair(1024)],
  outside: [pair(0), pair(1025), [], [new Uint8Array(9)], new Uint8Array(65), 1, 'null', {}],
};
const limits: Limits = {
  ts: clockLimits,
  key: { inside: [null, ...hashLimits.inside], outside: hashLimits.outside.filter((each) => each !== null) },
  host: fingerprintLimits,
  tree: signedLimits,
  claim: signedLimits,
  origin: originLimits,
  staged: signedLimits,
  damaged: countLimits,
  request: hashLimits,
};

describe('a head', () => {
  it('decodes to the value that was encoded, through the body of an answer', () => {
    fc.assert(
      fc.property(heads, (given) => {
        const signed = decodeHeadAnswer(encodeSigned(signHead(given, host.privateKey)));
        expect(openHead(signed, host.verifyKey).value).toEqual(given);
        expect(codeOf(() => openHead(signed, origin.verifyKey))).toBe('NOT_SIGNED');
      }),
      { numRuns: 50 },
    );
  });

  describe.each(Object.entries(limits))('its %s', (name, { inside, outside }) => {
    it.each(inside.map((value) => [value]))('may be %s', (value) => {
      const opened = openHead(signMap('head', withMember(head, name, value), host.privateKey), host.verifyKey);
      expect(encode(signedAsPairs(opened.value))).toEqual(encode(withMember(head, name, value)));
    });

    it.each(outside.map((value) => [value]))('may not be %s', (value) => {
      const signed = signMap('head', withMember(head, name, value), host.privateKey);
      expect(codeOf(() => openHead(signed, host.verifyKey))).toBe('MALFORMED');
      expect(messageOf(() => openHead(signed, host.verifyKey))).toContain(`head.${name} is`);
    });

    it('may not be missing', () => {
      const signed = signMap('head', without(head, name), host.privateKey);
      expect(messageOf(() => openHead(signed, host.verifyKey))).toContain(`head.${name} is missing`);
    });
  });

  it('is an answer of at most 16 KiB', () => {
    expect(codeOf(() => decodeHeadAnswer(new Uint8Array(16 * 1024)))).toBe('MALFORMED');
    expect(codeOf(() => decodeHeadAnswer(new Uint8Array(16 * 1024 + 1)))).toBe('TOO_LARGE');
  });
});

describe('the statements of the origin in a head', () => {
  const [sample] = fc.sample(fc.tuple(trees, claims), 1);
  const complete = { ...sample![0], origin: 'core-1', base: 5, sequence: 5 };
  const granted = { ...sample![1], origin: 'core-1', host: 'f'.repeat(32) };
  const good: Head = {
    ...head,
    tree: signTree(complete, origin.privateKey),
    claim: signClaim(granted, origin.privateKey),
    staged: signTree({ ...complete, sequence: 4 }, origin.privateKey),
  };
  const open = (changes: Partial<Head>) => openStatements({ ...good, ...changes }, origin.verifyKey);

  it('are opened with it', () => {
    const { tree, claim, staged } = open({});
    expect(tree?.value).toEqual(complete);
    expect(claim?.value).toEqual(granted);
    expect(staged?.value).toEqual({ ...complete, sequence: 4 });
    expect(open({ tree: null, claim: null, staged: null })).toEqual({ tree: null, claim: null, staged: null });
  });

  it('are of the origin that the head is of, and for the host that signed it', () => {
    const other = { origin: 'core-2' };
    expect(messageOf(() => open(other))).toContain('a tree of another origin');
    const key = origin.privateKey;
    expect(messageOf(() => open({ tree: signTree({ ...complete, ...other }, key) }))).toContain('another origin');
    expect(messageOf(() => open({ staged: signTree({ ...complete, ...other }, key) }))).toContain('another origin');
    expect(messageOf(() => open({ claim: signClaim({ ...granted, ...other }, key) }))).toContain('another origin');
    expect(messageOf(() => open({ host: 'e'.repeat(32) }))).toContain('for another host');
  });

  it('are signed by the origin', () => {
    const { privateKey } = newKeys();
    expect(codeOf(() => open({ tree: signTree(complete, privateKey) }))).toBe('NOT_SIGNED');
    expect(codeOf(() => open({ staged: signTree(complete, privateKey) }))).toBe('NOT_SIGNED');
    expect(codeOf(() => open({ claim: signClaim(granted, privateKey) }))).toBe('NOT_SIGNED');
    expect(codeOf(() => open({ claim: signContent('claim', Buffer.of(0xa0), origin.privateKey) }))).toBe('MALFORMED');
  });

  it('do not include an incomplete tree as the head', () => {
    const incomplete = signTree({ ...complete, sequence: 4 }, origin.privateKey);
    expect(codeOf(() => open({ tree: incomplete }))).toBe('MALFORMED');
    expect(messageOf(() => open({ tree: incomplete }))).toBe('the tree of a head has 4 events, fewer than its base 5');
  });
});

function signedAsPairs({ tree, claim, staged, ...rest }: Head): object {
  return { ...rest, tree: tree && pairOf(tree), claim: claim && pairOf(claim), staged: staged && pairOf(staged) };
}
