/** The stream and revision at which an event was written. */
export interface Written {
  readonly stream: string;
  readonly revision: bigint;
}

/** The most that the real server keeps, in bytes as it counts them. */
const CAPACITY_BYTES = 8 * 1024 * 1024;
const ENTRY_BYTES = 28;

/** The ids written recently, by which the server recognizes a repeated append at any revision. The oldest are removed first. */
export class RecentIds {
  readonly #written = new Map<string, Written>();
  readonly #capacityBytes: number;
  /** Ids in the order of their arrival, with repetitions; the first `#gone` of them are removed. */
  #queue: string[] = [];
  #gone = 0;
  #bytes = 0;

  constructor(capacityBytes = CAPACITY_BYTES) {
    this.#capacityBytes = capacityBytes;
  }

  get(id: string): Written | undefined {
    return this.#written.get(id);
  }

  /** Keeps the first place of an id: written again, to any stream, it is still found there. */
  put(id: string, written: Written): void {
    while (this.#bytes > this.#capacityBytes && this.#gone < this.#queue.length) this.#removeOldest();
    this.#bytes += sizeOf(written);
    this.#queue.push(id);
    if (!this.#written.has(id)) this.#written.set(id, { stream: written.stream, revision: written.revision });
  }

  clear(): void {
    this.#written.clear();
    this.#queue = [];
    this.#gone = 0;
    this.#bytes = 0;
  }

  #removeOldest(): void {
    const id = this.#queue[this.#gone] ?? '';
    this.#gone += 1;
    const written = this.#written.get(id);
    if (written !== undefined) this.#bytes -= sizeOf(written);
    this.#written.delete(id);
    if (this.#gone * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#gone);
      this.#gone = 0;
    }
  }
}

function sizeOf(written: Written): number {
  return ENTRY_BYTES + written.stream.length * 2;
}
