import { MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { decodeEntry, ENTRY_BYTES, type Entry } from '../protocol/entry.js';

/** A frontier is remembered at every multiple of this. */
const STEP = 4_096;

/** The entries of a history: entry n is the entry of event n. */
export class EntryList {
  readonly #bytes: Uint8Array;
  readonly #frontiers: MerkleFrontier[] = [new MerkleFrontier(sha256)];

  /** @param bytes of the entries, one after the other */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.byteLength / ENTRY_BYTES;
  }

  /** The entry of an event, from 1. @throws ProtocolError when the bytes are not an entry */
  at(sequence: number): Entry {
    return decodeEntry(this.bytesOf(sequence - 1, sequence));
  }

  /** The bytes of the entries after the entry `after`, up to the entry `to`. */
  bytesOf(after: number, to: number): Uint8Array {
    return this.#bytes.subarray(after * ENTRY_BYTES, to * ENTRY_BYTES);
  }

  /** The root over the first entries; undefined when there are fewer. */
  rootAt(count: number): Uint8Array | undefined {
    if (count > this.length) return undefined;
    const step = Math.min(Math.floor(count / STEP), this.#frontiers.length - 1);
    let frontier = this.#frontiers[step] ?? new MerkleFrontier(sha256);
    if (frontier.size < count) frontier = frontier.copy();
    while (frontier.size < count) {
      frontier.append(this.bytesOf(frontier.size, frontier.size + 1));
      if (frontier.size === this.#frontiers.length * STEP) this.#frontiers.push(frontier.copy());
    }
    return frontier.root();
  }

  /** Whether the first `count` entries have a root. */
  hasRoot(count: number, root: Uint8Array): boolean {
    const own = this.rootAt(count);
    return own !== undefined && equalBytes(own, root);
  }

  /** How many first entries the two lists have in common. */
  common(other: EntryList): number {
    const most = Math.min(this.length, other.length);
    let [same, differ] = [0, most + 1];
    while (same + 1 < differ) {
      const middle = Math.floor((same + differ) / 2);
      if (Buffer.compare(this.bytesOf(same, middle), other.bytesOf(same, middle)) === 0) same = middle;
      else differ = middle;
    }
    return same;
  }
}
