import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MerkleFrontier } from '../../src/domain/merkle.js';
import { toHex } from '../../src/infra/crypto/bytes.js';
import { sha256 } from '../../src/infra/crypto/sha256.js';

/** The Merkle tree hash as RFC 6962, 2.1, defines it. */
function definedRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (first === undefined) return sha256(new Uint8Array());
  if (leaves.length === 1) return sha256(Uint8Array.of(0), first);
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  return sha256(Uint8Array.of(1), definedRoot(leaves.slice(0, half)), definedRoot(leaves.slice(half)));
}

function treeOf(leaves: readonly Uint8Array[]): MerkleFrontier {
  const tree = new MerkleFrontier(sha256);
  for (const leaf of leaves) tree.append(leaf);
  return tree;
}

const leavesOf = (size: number) => Array.from({ length: size }, (_, i) => sha256(Buffer.from(`leaf ${i}`)));
const anyLeaves = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 70 });

/** The tree that Certificate Transparency's implementations are tested with. */
const CT_LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const CT_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

describe('the root of a tree', () => {
  it.each(CT_ROOTS.map((root, size) => ({ root, size })))(
    'of size $size is that of Certificate Transparency',
    (known) => {
      const leaves = CT_LEAVES.slice(0, known.size).map((hex) => Buffer.from(hex, 'hex'));
      expect(toHex(treeOf(leaves).root())).toBe(known.root);
    },
  );

  it('is what RFC 6962 defines, at every size from 0 to 200 as it grows', () => {
    const leaves = leavesOf(200);
    const tree = new MerkleFrontier(sha256);
    for (let size = 0; size <= leaves.length; size += 1) {
      expect(tree.size).toBe(size);
      expect(toHex(tree.root())).toBe(toHex(definedRoot(leaves.slice(0, size))));
      tree.append(leaves[size] ?? new Uint8Array());
    }
  });

  it('is what RFC 6962 defines over any leaves', () => {
    fc.assert(
      fc.property(anyLeaves, (leaves) => {
        expect(toHex(treeOf(leaves).root())).toBe(toHex(definedRoot(leaves)));
      }),
    );
  });

  it('differs when a leaf is changed, exchanged, added or left out', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(), { minLength: 2, maxLength: 40 }), fc.nat(), (numbers, choice) => {
        const leaves = numbers.map((n) => sha256(Buffer.from(`${n}`)));
        const root = toHex(treeOf(leaves).root());
        const at = choice % (leaves.length - 1);
        const [one = new Uint8Array(), next = new Uint8Array()] = leaves.slice(at, at + 2);
        const others = [
          leaves.with(at, sha256(one)),
          leaves.with(at, next).with(at + 1, one),
          leaves.toSpliced(at, 1),
          leaves.toSpliced(at, 0, one),
        ];
        for (const other of others) expect(toHex(treeOf(other).root())).not.toBe(root);
      }),
    );
  });

  it('differs between a leaf and a node with the same bytes', () => {
    const [a, b] = [sha256(Buffer.from('a')), sha256(Buffer.from('b'))];
    const node = Buffer.concat([sha256(Uint8Array.of(0), a), sha256(Uint8Array.of(0), b)]);
    expect(toHex(treeOf([node]).root())).not.toBe(toHex(treeOf([a, b]).root()));
  });

  it('is not changed by computing it', () => {
    const tree = treeOf(leavesOf(7));
    expect(toHex(tree.root())).toBe(toHex(tree.root()));
    expect(tree.size).toBe(7);
  });
});

describe('a tree', () => {
  it('is kept as one peak for each one of its size in binary, the root of its largest perfect subtree first', () => {
    const leaves = leavesOf(100);
    for (let size = 0; size <= leaves.length; size += 1) {
      let from = 0;
      const peaks = Array.from(size.toString(2)).flatMap((digit, i, digits) => {
        if (digit === '0') return [];
        const width = 2 ** (digits.length - 1 - i);
        from += width;
        return [toHex(definedRoot(leaves.slice(from - width, from)))];
      });
      expect(treeOf(leaves.slice(0, size)).peaks.map(toHex)).toEqual(peaks);
    }
  });

  it('grows from its size and peaks exactly like the original tree', () => {
    fc.assert(
      fc.property(anyLeaves, anyLeaves, (before, after) => {
        const kept = treeOf(before);
        const tree = new MerkleFrontier(sha256, kept.size, kept.peaks);
        expect(toHex(tree.root())).toBe(toHex(kept.root()));
        for (const leaf of after) tree.append(leaf);
        expect(tree.size).toBe(before.length + after.length);
        expect(toHex(tree.root())).toBe(toHex(definedRoot([...before, ...after])));
      }),
    );
  });

  it('grows independently of its copy', () => {
    fc.assert(
      fc.property(anyLeaves, anyLeaves, (before, after) => {
        const tree = treeOf(before);
        const copy = tree.copy();
        for (const leaf of after) copy.append(leaf);
        expect(toHex(tree.root())).toBe(toHex(definedRoot(before)));
        expect(toHex(copy.root())).toBe(toHex(definedRoot([...before, ...after])));
      }),
    );
  });

  it('grows beyond 2³² leaves', () => {
    const size = 2 ** 40 - 1;
    const peaks = leavesOf(40);
    const tree = new MerkleFrontier(sha256, size, peaks);
    tree.append(Uint8Array.of(7));
    const folded = peaks.reduceRight(
      (right, left) => sha256(Uint8Array.of(1), left, right),
      sha256(Uint8Array.of(0), Uint8Array.of(7)),
    );
    expect([tree.size, tree.peaks.map(toHex)]).toEqual([2 ** 40, [toHex(folded)]]);
  });

  it('is not constructed from too few or too many peaks for its size', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.nat(25), (size, count) => {
        fc.pre(size.toString(2).replaceAll('0', '').length !== count);
        expect(() => new MerkleFrontier(sha256, size, leavesOf(count))).toThrow(RangeError);
      }),
    );
  });
});
