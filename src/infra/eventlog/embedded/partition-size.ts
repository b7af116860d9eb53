import type { Connection } from '../../sqlite/connection.js';

/** The size of a partition in a log that is not large, in bytes. */
export const PARTITION_BYTES = 5 * 1024 * 1024;
/** How much is appended before a partition that could not be made is tried again, in bytes. */
const RETRY_BYTES = 256 * 1024;
/** A partition of a large log is a part of it, so that there are never too many. */
const LOG_PART = 16;

const SIZES = `SELECT (page_count - freelist_count) * page_size AS log, (SELECT coalesce(sum(bytes), 0) FROM partitions) AS sealed
  FROM pragma_page_count, pragma_freelist_count, pragma_page_size`;

/** Knows when the newest partition is full: it estimates what is appended, and measures the file when there might be enough. */
export class PartitionSize {
  readonly #bytes: number;
  #room = 0;

  /** @param bytes of a partition, if a sixteenth of the log is less */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Notes what was appended. Returns whether the file should be measured. */
  grew(bytes: number): boolean {
    this.#room -= bytes;
    return this.#room <= 0;
  }

  /** Has the file measured again later. */
  postpone(): void {
    this.#room = RETRY_BYTES;
  }

  /** The bytes that the newest partition takes in the file; undefined if it is not full. @throws SqliteError */
  async full(connection: Connection): Promise<number | undefined> {
    const { log, bytes } = await measure(connection);
    this.#room = Math.max(this.#bytes, log / LOG_PART) - bytes;
    return this.#room <= 0 ? bytes : undefined;
  }
}

/** The bytes that the newest partition takes in the file. @throws SqliteError */
export async function newestBytes(connection: Connection): Promise<number> {
  return (await measure(connection)).bytes;
}

async function measure(connection: Connection): Promise<{ readonly log: number; readonly bytes: number }> {
  const [row] = await connection.all<{ log: number; sealed: number }>(SIZES);
  const { log = 0, sealed = 0 } = row ?? {};
  return { log, bytes: log - sealed };
}
