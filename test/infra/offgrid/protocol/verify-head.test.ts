import { describe, expect, it } from 'vitest';
import { fingerprintOf, publicKeyText } from '../../../../src/infra/crypto/signing.js';
import { signClaim, type Claim } from '../../../../src/infra/offgrid/protocol/claim.js';
import { NOT_ELECTED } from '../../../../src/infra/offgrid/protocol/fields.js';
import { signHead, type Head } from '../../../../src/infra/offgrid/protocol/head.js';
import { openTree, signTree, type Tree } from '../../../../src/infra/offgrid/protocol/tree.js';
import {
  assertGranted,
  assertNotFallen,
  assertTaken,
  DishonestHostError,
  verifyHead,
} from '../../../../src/infra/offgrid/protocol/verify-head.js';
import { newKeys } from '../../../support/offgrid/protocol-2.js';

const [host, origin, impostor] = [newKeys(), newKeys(), newKeys()];
const HOST = fingerprintOf(publicKeyText(host.publicKey));
const EXPECTED = { host: HOST, hostKey: host.verifyKey, origin: 'core-v2', originKey: origin.verifyKey };
const REQUEST = new Uint8Array(32).fill(7);
const ROOT = new Uint8Array(32).fill(1);

const TREE: Tree = {
  ...{ ts: 1, base: 0, line: 1, root: ROOT, begun: ROOT, epoch: 3, origin: 'core-v2', quorum: 0 },
  ...{ writer: 'abc:12345678', sequence: 9, quorumRoot: ROOT },
};
const CLAIM: Claim = { host: HOST, epoch: 3, origin: 'core-v2', writer: 'abc:12345678' };
const tree = (changed: Partial<Tree> = {}, key = origin.privateKey) => signTree({ ...TREE, ...changed }, key);
const claim = (changed: Partial<Claim> = {}, key = origin.privateKey) => signClaim({ ...CLAIM, ...changed }, key);
const OWN_CLAIM = { signed: claim(), value: CLAIM };
const open = (changed: Partial<Tree> = {}) => openTree(tree(changed), origin.verifyKey);

function answer(changed: Partial<Head> = {}, key = host.privateKey) {
  const head = {
    ...{ ts: 1, key: origin.verifyKey, host: HOST, tree: tree(), claim: claim(), origin: 'core-v2' },
    ...{ staged: null, damaged: 0, request: REQUEST, ...changed },
  };
  return { head: signHead(head, key), request: REQUEST };
}

/** The kind of proof, or the code of the failure; `good` when there is none. */
function outcomeOf(work: () => unknown): unknown {
  try {
    work();
    return 'good';
  } catch (error) {
    if (error instanceof DishonestHostError) return error.kind;
    return (error as { code?: unknown }).code ?? error;
  }
}

const good = (changed: Partial<Head> = {}) => verifyHead(answer(changed), EXPECTED);

describe('a head', () => {
  it('is valid when the host signed it for the request, and its statements are the origin’s', () => {
    expect(good({ damaged: 4 })).toMatchObject({ damaged: 4, tree: { value: { sequence: 9 } }, staged: null });
    const nothing = { key: null, tree: null, claim: null };
    expect(good(nothing)).toMatchObject({ tree: null, claim: null, staged: null });
  });

  it.each([
    ['with another signature', () => answer({}, impostor.privateKey)],
    ['of another host', () => answer({ host: '0'.repeat(32) })],
    ['of another origin', () => answer({ origin: 'other', tree: null, claim: null })],
    ['over another request: a replay', () => answer({ request: ROOT })],
  ])('%s proves nothing', (_what, made) => {
    expect(outcomeOf(() => verifyHead(made(), EXPECTED))).toBe('NONSENSE');
  });

  it('with another key pinned proves nothing', () => {
    expect(outcomeOf(() => good({ key: impostor.verifyKey, tree: null, claim: null }))).toBe('NOT_SIGNED');
  });

  it.each([
    ['a tree that is not the origin’s', { tree: tree({}, impostor.privateKey) }],
    ['a staged tree that is not the origin’s', { staged: tree({}, impostor.privateKey) }],
    ['a claim that is not the origin’s', { claim: claim({}, impostor.privateKey) }],
    ['a claim for another host', { claim: claim({ host: '0'.repeat(32) }) }],
    ['a tree of another origin', { tree: tree({ origin: 'other' }) }],
    ['a tree that is incomplete', { tree: tree({ base: 10 }) }],
    ['a tree of an epoch that was not elected', { tree: tree({ base: NOT_ELECTED }) }],
  ])('with %s is proof', (_what, changed) => {
    expect(outcomeOf(() => good(changed))).toBe('STATEMENT');
  });

  it('that is staged may be incomplete', () => {
    expect(good({ staged: tree({ base: NOT_ELECTED }) })).toMatchObject({ staged: { value: { sequence: 9 } } });
  });
});

describe('an answer to a claim', () => {
  it('grants it, or is proof', () => {
    expect(outcomeOf(() => assertGranted(good(), OWN_CLAIM))).toBe('good');
    for (const changed of [
      { claim: null },
      { claim: claim({ epoch: 2 }) },
      { claim: claim({ writer: 'abc:87654321' }) },
    ])
      expect(outcomeOf(() => assertGranted(good(changed), OWN_CLAIM))).toBe('CLAIM');
  });
});

describe('an answer to a batch', () => {
  it.each([
    ['the tree', {}, {}, 'good'],
    ['a longer tree', { tree: tree({ sequence: 12 }) }, {}, 'good'],
    ['a tree of a higher epoch', { tree: tree({ epoch: 4, sequence: 2 }) }, {}, 'good'],
    ['a shorter tree', { tree: tree({ sequence: 8 }) }, {}, 'BATCH'],
    ['no tree', { tree: null }, {}, 'BATCH'],
    ['the tree, but staged only', { tree: null, staged: tree() }, {}, 'BATCH'],
  ])('that is complete: %s', (_what, has, sent, outcome) => {
    expect(outcomeOf(() => assertTaken(good(has), open(sent)))).toBe(outcome);
  });

  const staged = { base: 20 };
  it.each([
    ['the tree, staged', { staged: tree(staged) }, 'good'],
    ['a longer one, staged', { staged: tree({ ...staged, sequence: 12 }) }, 'good'],
    ['a shorter one, staged', { staged: tree({ ...staged, sequence: 8 }) }, 'BATCH'],
    ['another of that length, staged', { staged: tree({ ...staged, root: REQUEST }) }, 'BATCH'],
    ['one of a higher epoch, staged', { staged: tree({ ...staged, epoch: 4, sequence: 2 }) }, 'good'],
    ['a longer one of a lower epoch, staged', { staged: tree({ ...staged, epoch: 2, sequence: 12 }) }, 'BATCH'],
    ['nothing', {}, 'BATCH'],
  ])('that is incomplete: %s', (_what, has, outcome) => {
    expect(outcomeOf(() => assertTaken(good({ tree: tree({ epoch: 2 }), ...has }), open(staged)))).toBe(outcome);
  });
});

describe('a later head', () => {
  it('never ranks below one that was counted', () => {
    const counted = { line: 1, epoch: 3, sequence: 9, signed: answer().head };
    expect(outcomeOf(() => assertNotFallen(good(), undefined))).toBe('good');
    expect(outcomeOf(() => assertNotFallen(good(), counted))).toBe('good');
    expect(outcomeOf(() => assertNotFallen(good({ tree: tree({ epoch: 4, sequence: 1 }) }), counted))).toBe('good');
    for (const changed of [{ tree: null }, { tree: tree({ sequence: 8 }) }, { tree: tree({ epoch: 2, sequence: 99 }) }])
      expect(outcomeOf(() => assertNotFallen(good(changed), counted))).toBe('RANK');
  });
});

describe('a proof', () => {
  it('has both sides: the head that the host signed, and what it contradicts', () => {
    const proofOf = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        if (error instanceof DishonestHostError) return { head: error.head, against: error.against };
      }
      throw new Error('there is no proof');
    };
    const fallen = { ...answer({ tree: null }) }.head;
    const counted = { line: 1, epoch: 3, sequence: 9, signed: answer().head };
    const head = verifyHead({ head: fallen, request: REQUEST }, EXPECTED);
    expect(proofOf(() => assertNotFallen(head, counted))).toEqual({ head: fallen, against: counted.signed });
    expect(proofOf(() => assertTaken(head, open()))).toEqual({ head: fallen, against: tree() });
    const other = { signed: claim({ epoch: 4 }), value: { ...CLAIM, epoch: 4 } };
    expect(proofOf(() => assertGranted(head, other))).toEqual({ head: fallen, against: other.signed });
    const forged = answer({ tree: tree({}, impostor.privateKey) });
    expect(proofOf(() => verifyHead(forged, EXPECTED))).toEqual({ head: forged.head, against: undefined });
  });
});
