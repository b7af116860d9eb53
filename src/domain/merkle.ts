/** SHA-256 of the parts, one after the other. */
export type Sha256 = (...parts: readonly Uint8Array[]) => Uint8Array;

/** Bytes of a hash. */
export const HASH_BYTES = 32;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/**
 * The Merkle tree of RFC 6962 over a list that grows at its end, kept as its frontier: the roots of the perfect subtrees
 * that it consists of, the largest first. Their number is the number of ones in the binary form of the size, so a tree of any
 * size takes at most 53 hashes, and a leaf is added in amortized constant time.
 */
export class MerkleFrontier {
  readonly #sha256: Sha256;
  readonly #peaks: Uint8Array[];
  #size: number;

  /**
   * An empty tree, or the tree of `size` leaves that has these peaks.
   * @throws RangeError when the size is not a whole number from 0, or has another number of peaks
   */
  constructor(sha256: Sha256, size = 0, peaks: readonly Uint8Array[] = []) {
    if (!Number.isSafeInteger(size) || size < 0 || peaks.length !== onesOf(size))
      throw new RangeError(`the given peaks do not match a tree of ${size} leaves`);
    this.#sha256 = sha256;
    this.#size = size;
    this.#peaks = [...peaks];
  }

  /** The number of leaves. */
  get size(): number {
    return this.#size;
  }

  /** The roots of the perfect subtrees, the largest first: with `size`, enough to construct the tree again. */
  get peaks(): readonly Uint8Array[] {
    return this.#peaks;
  }

  /** Adds a leaf. */
  append(leaf: Uint8Array): void {
    this.appendHash(this.#sha256(LEAF, leaf));
  }

  /** Adds a leaf by its hash, which is SHA-256(00 ‖ leaf). */
  appendHash(leafHash: Uint8Array): void {
    let hash = leafHash;
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      hash = this.#sha256(NODE, this.#peaks.pop() ?? hash, hash);
    }
    this.#peaks.push(hash);
    this.#size += 1;
  }

  /** The Merkle tree hash (RFC 6962, 2.1); for an empty tree, the hash of the empty string. */
  root(): Uint8Array {
    const last = this.#peaks.at(-1);
    if (last === undefined) return this.#sha256();
    return this.#peaks.slice(0, -1).reduceRight((right, left) => this.#sha256(NODE, left, right), last);
  }

  /** An independent tree of the same leaves. */
  copy(): MerkleFrontier {
    return new MerkleFrontier(this.#sha256, this.#size, this.#peaks);
  }
}

function onesOf(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}
