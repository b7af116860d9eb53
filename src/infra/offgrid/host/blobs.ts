import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { toHex } from '../../crypto/bytes.js';
import { writeDurably } from '../../durable-file.js';

/** Files written at a time. */
const WRITERS = 8;

/** Large contents as files, named by their address (SHA-256). */
export class Blobs {
  readonly #folder: string;
  readonly #inTurn = pLimit(WRITERS);

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes contents; they are on the disk when this returns. What is there already is left as it is. */
  async put(contents: readonly { readonly eid: Uint8Array; readonly sealed: Uint8Array }[]): Promise<void> {
    await this.#inTurn.map(contents, async ({ eid, sealed }) => {
      const path = this.#pathOf(eid);
      const isThere = await access(path).then(
        () => true,
        () => false,
      );
      if (isThere) return;
      await mkdir(join(path, '..'), { recursive: true });
      await writeDurably(path, sealed);
    });
  }

  /** Writes contents over what is there. */
  async replace(eid: Uint8Array, content: Uint8Array): Promise<void> {
    await mkdir(join(this.#pathOf(eid), '..'), { recursive: true });
    await writeDurably(this.#pathOf(eid), content);
  }

  /** The content of an address; undefined when its file is gone. */
  async get(eid: Uint8Array): Promise<Uint8Array | undefined> {
    return readFile(this.#pathOf(eid)).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  #pathOf(eid: Uint8Array): string {
    const name = toHex(eid);
    return join(this.#folder, name.slice(0, 2), name);
  }
}
