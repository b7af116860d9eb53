/** SHA-256 of the parts, one after the other. */
export type Sha256 = (...parts: readonly Uint8Array[]) => Uint8Array;

/** Bytes of a hash. */
export const HASH_BYTES = 32;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/**
 * The Merkle tree of RFC 6962 over a list that grows at its end, kept as its frontier: the roots of the perfect subtrees
 * it is made of, the largest first. They are as many as the size has ones in binary, so a tree of any size is at most
 * 53 hashes, and grows in constant time.
 */
export class MerkleFrontier {
  readonly #sha256: Sha256;
  readonly #peaks: Uint8Array[];
  #size: number;

  /** An empty tree, or one taken up from what `peaks` said. */
  constructor(sha256: Sha256, size = 0, peaks: readonly Uint8Array[] = []) {
    if (!Number.isSafeInteger(size) || size < 0 || peaks.length !== onesOf(size))
      throw new RangeError(`a tree of ${size} leaves has other peaks`);
    this.#sha256 = sha256;
    this.#size = size;
    this.#peaks = [...peaks];
  }

  /** Leaves in the tree. */
  get size(): number {
    return this.#size;
  }

  /** What a tree of this size is taken up from. */
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

  /** The Merkle tree hash (RFC 6962, 2.1); of an empty tree, the hash of nothing. */
  root(): Uint8Array {
    const last = this.#peaks.at(-1);
    if (last === undefined) return this.#sha256();
    return this.#peaks.slice(0, -1).reduceRight((right, left) => this.#sha256(NODE, left, right), last);
  }

  /** Another tree of the same leaves. */
  copy(): MerkleFrontier {
    return new MerkleFrontier(this.#sha256, this.#size, this.#peaks);
  }
}

function onesOf(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}
