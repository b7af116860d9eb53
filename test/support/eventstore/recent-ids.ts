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
  #bytes = 0;

  constructor(capacityBytes = CAPACITY_BYTES) {
    this.#capacityBytes = capacityBytes;
  }

  get(id: string): Written | undefined {
    return this.#written.get(id);
  }

  put(id: string, written: Written): void {
    const before = this.#written.get(id);
    if (before !== undefined) this.#bytes -= size(before);
    this.#written.set(id, written);
    this.#bytes += size(written);
    for (const [oldest, { stream, revision }] of this.#written) {
      if (this.#bytes <= this.#capacityBytes) break;
      this.#written.delete(oldest);
      this.#bytes -= size({ stream, revision });
    }
  }

  clear(): void {
    this.#written.clear();
    this.#bytes = 0;
  }
}

function size(written: Written): number {
  return ENTRY_BYTES + written.stream.length * 2;
}
