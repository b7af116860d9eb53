import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NOT_ELECTED } from '../../../../src/infra/offgrid/protocol/fields.js';
import { MAX_CONTENT_BYTES } from '../../../../src/infra/offgrid/protocol/signed.js';
import {
  compareRank,
  isComplete,
  openTree,
  signTree,
  type Rank,
  type Tree,
} from '../../../../src/infra/offgrid/protocol/tree.js';
import {
  codeOf,
  messageOf,
  newKeys,
  signMap,
  treeLimits,
  trees,
  without,
  withMember,
} from '../../../support/offgrid/protocol-2.js';

const { privateKey, verifyKey } = newKeys();
const tree: Tree = {
  ts: 1,
  base: 2,
  line: 1,
  root: new Uint8Array(32),
  begun: new Uint8Array(32),
  epoch: 1,
  origin: 'core-1',
  quorum: 2,
  writer: 'log:12345678',
  sequence: 3,
  quorumRoot: new Uint8Array(32),
};

describe('a tree', () => {
  it('decodes to the value that was encoded', () => {
    fc.assert(
      fc.property(trees, (given) => {
        const signed = signTree(given, privateKey);
        expect(openTree(signed, verifyKey).value).toEqual(given);
        expect(Buffer.from(signed.content)).toEqual(Buffer.from(encode(given)));
      }),
    );
  });

  describe.each(Object.entries(treeLimits))('its %s', (name, { inside, outside }) => {
    it.each(inside)('may be %s', (value) => {
      const opened = openTree(signMap('tree', withMember(tree, name, value), privateKey), verifyKey);
      const plain = value instanceof Uint8Array ? Uint8Array.from(value) : value;
      expect(opened.value).toEqual(withMember(tree, name, plain));
    });

    it.each(outside)('may not be %s', (value) => {
      const signed = signMap('tree', withMember(tree, name, value), privateKey);
      expect(codeOf(() => openTree(signed, verifyKey))).toBe('MALFORMED');
      expect(messageOf(() => openTree(signed, verifyKey))).toContain(`tree.${name} is`);
    });

    it('may not be missing', () => {
      const signed = signMap('tree', without(tree, name), privateKey);
      expect(messageOf(() => openTree(signed, verifyKey))).toContain(`tree.${name} is missing`);
    });
  });

  it('is not signed with a member out of range', () => {
    expect(codeOf(() => signTree({ ...tree, sequence: 0 }, privateKey))).toBe('MALFORMED');
    expect(codeOf(() => signTree({ ...tree, root: new Uint8Array(31) }, privateKey))).toBe('MALFORMED');
  });

  it('with the longest names and highest numbers is far below the limit', () => {
    const widest = Object.entries(treeLimits).map(([name, { inside }]) => [name, inside.at(-1)]);
    const { content } = signMap('tree', Object.fromEntries(widest), privateKey);
    expect(content.byteLength).toBeLessThan(MAX_CONTENT_BYTES.tree / 2);
  });

  it('is complete from its base on, and never before an election', () => {
    fc.assert(
      fc.property(trees, (given) => {
        expect(isComplete({ ...given, base: given.sequence })).toBe(true);
        expect(isComplete({ ...given, base: given.sequence - 1 })).toBe(true);
        expect(isComplete({ ...given, base: given.sequence + 1 })).toBe(false);
        expect(isComplete({ ...given, base: NOT_ELECTED })).toBe(false);
      }),
    );
  });
});

describe('the rank of trees', () => {
  const few = fc.integer({ min: 1, max: 3 });
  const near: fc.Arbitrary<Rank> = fc.record({ line: few, epoch: few, sequence: few });
  const rank = fc.oneof(fc.constant(undefined), near, trees);
  const sameRank = (a: Rank | undefined, b: Rank | undefined) =>
    a?.line === b?.line && a?.epoch === b?.epoch && a?.sequence === b?.sequence;

  it('is a total order', () => {
    fc.assert(
      fc.property(rank, rank, rank, (a, b, c) => {
        expect(Math.sign(compareRank(a, b))).toBe(0 - Math.sign(compareRank(b, a)));
        expect(compareRank(a, b) === 0).toBe(sameRank(a, b));
        const [low, middle, high] = [a, b, c].sort((x, y) => compareRank(x, y));
        if (compareRank(low, middle) <= 0 && compareRank(middle, high) <= 0)
          expect(compareRank(low, high)).toBeLessThanOrEqual(0);
        expect(compareRank(a, b) <= 0 && compareRank(b, c) <= 0 && compareRank(a, c) > 0).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  it('compares line, then epoch, then sequence; no tree ranks below every tree', () => {
    const ordered = [
      undefined,
      { line: 1, epoch: 1, sequence: 1 },
      { line: 1, epoch: 1, sequence: Number.MAX_SAFE_INTEGER - 1 },
      { line: 1, epoch: 2, sequence: 1 },
      { line: 1, epoch: 2 ** 48, sequence: 9 },
      { line: 2, epoch: 1, sequence: 1 },
      { line: 2 ** 31 - 1, epoch: 1, sequence: 1 },
    ];
    ordered.forEach((a, i) => {
      ordered.forEach((b, j) => expect(Math.sign(compareRank(a, b))).toBe(Math.sign(i - j)));
    });
  });
});
