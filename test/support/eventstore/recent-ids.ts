/** Where an event was written. */
export interface Written {
  readonly stream: string;
  readonly revision: bigint;
}

/** The most the real server keeps, in bytes as it reckons them. */
const CAPACITY_BYTES = 8 * 1024 * 1024;
const ENTRY_BYTES = 28;

/** The ids written of late: what the server goes by when an append expects any revision. The oldest go first. */
export class RecentIds {
  readonly #written = new Map<string, Written>();
  readonly #capacityBytes: number;
  /** Ids in the order they came, those that came again too; the first of them are gone. */
  #queue: string[] = [];
  #gone = 0;
  #bytes = 0;

  constructor(capacityBytes = CAPACITY_BYTES) {
    this.#capacityBytes = capacityBytes;
  }

  get(id: string): Written | undefined {
    return this.#written.get(id);
  }

  /** What is known of an id stays: written again, to whichever stream, it is still where it was first. */
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
