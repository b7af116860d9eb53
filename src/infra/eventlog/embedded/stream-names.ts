/** The bits for each name. */
const BITS = 16;
/** The bits that a name sets. */
const HASHES = 8;
/** How many names the first filter holds; each one after it holds four times as many as the one before. */
const FIRST_CAPACITY = 16_384;
const GROWTH = 4;

/**
 * Names of streams: tells without reading the file that a stream has not begun. It never forgets a name; of other names it
 * says for fewer than one in 500 that it may have them. Two bytes a name, in Bloom filters of growing size.
 */
export class StreamNames {
  #newest = new Filter(FIRST_CAPACITY);
  readonly #filters: Filter[] = [this.#newest];

  add(name: string): void {
    const hashed = hash(name);
    if (this.#filters.some((filter) => filter.has(hashed))) return;
    if (this.#newest.isFull) {
      this.#newest = new Filter(this.#newest.capacity * GROWTH);
      this.#filters.push(this.#newest);
    }
    this.#newest.add(hashed);
  }

  /** False only for a name that was not added. */
  mayHave(name: string): boolean {
    const hashed = hash(name);
    return this.#filters.some((filter) => filter.has(hashed));
  }
}

/** Two hashes of 32 bits, of which the others are made (Kirsch and Mitzenmacher, "Less hashing, same performance"). */
type Hashed = readonly [number, number];

class Filter {
  readonly capacity: number;
  readonly #bits: Uint32Array;
  readonly #mask: number;
  #count = 0;

  /** @param capacity a power of two, of at most 2²⁷ */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.#bits = new Uint32Array((capacity * BITS) / 32);
    this.#mask = capacity * BITS - 1;
  }

  get isFull(): boolean {
    return this.#count >= this.capacity;
  }

  add([a, b]: Hashed): void {
    for (let i = 0; i < HASHES; i += 1) {
      const bit = (a + Math.imul(i, b)) & this.#mask;
      this.#bits[bit >>> 5] = (this.#bits[bit >>> 5] ?? 0) | (1 << (bit & 31));
    }
    this.#count += 1;
  }

  has([a, b]: Hashed): boolean {
    for (let i = 0; i < HASHES; i += 1) {
      const bit = (a + Math.imul(i, b)) & this.#mask;
      if (((this.#bits[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) return false;
    }
    return true;
  }
}

/** FNV-1a with two multipliers over the UTF-16 units, each finished as MurmurHash3 finishes; the second is odd. */
function hash(name: string): Hashed {
  let [a, b] = [0x811c9dc5, 0x9747b28c];
  for (let i = 0; i < name.length; i += 1) {
    const unit = name.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x5bd1e995);
    b ^= b >>> 15;
  }
  return [finish(a), finish(b) | 1];
}

function finish(hashed: number): number {
  let h = hashed;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
