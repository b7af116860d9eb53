import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { equalBytes, fromHex, toHex } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import { readIfThere, syncFolder, writeDurably } from '../../platform/files.js';

/** The form of a file's name: an address. */
const ADDRESS = /^[0-9a-f]{64}$/;
/** The number of files written at a time. */
const WRITERS = 8;

/** Large contents as files, named by their address (SHA-256). */
export class Blobs {
  readonly #folder: string;
  readonly #inTurn = pLimit(WRITERS);

  /** Folders by path; each promise resolves when the folder exists durably. */
  readonly #folders = new Map<string, Promise<void>>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens a folder, and removes the incomplete files of a process that was killed. */
  static async open(folder: string): Promise<Blobs> {
    const entries = await readdir(folder, { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    await pLimit(WRITERS).map(names, async (name) => {
      for (const file of await readdir(join(folder, name)))
        if (file.endsWith('.tmp')) await rm(join(folder, name, file), { force: true });
    });
    return new Blobs(folder);
  }

  /** Writes contents; they are on the disk when this resolves. Contents that are stored and intact are not rewritten. */
  async put(contents: readonly { readonly eid: Uint8Array; readonly sealed: Uint8Array }[]): Promise<void> {
    await this.#inTurn.map(contents, async ({ eid, sealed }) => {
      const path = this.#pathOf(eid);
      // A file that the disk cannot read any more is written again.
      const there = await this.get(eid).catch(() => undefined);
      if (there !== undefined && equalBytes(addressOf(there), eid)) await syncFolder(dirname(path));
      else {
        await this.#makeFolder(dirname(path));
        await writeDurably(path, sealed);
      }
    });
  }

  /** The content of an address; undefined when its file does not exist. */
  async get(eid: Uint8Array): Promise<Uint8Array | undefined> {
    return readIfThere(this.#pathOf(eid));
  }

  /** Removes the files for which `isNamed` is false. */
  async sweep(isNamed: (eid: Uint8Array) => Promise<boolean>): Promise<void> {
    const entries = await readdir(this.#folder, { withFileTypes: true });
    for (const { name } of entries.filter((entry) => entry.isDirectory()))
      for (const file of await readdir(join(this.#folder, name)))
        if (ADDRESS.test(file) && !(await isNamed(fromHex(file))))
          await rm(join(this.#folder, name, file), { force: true });
  }

  /** Makes each folder once: later callers wait for the same promise until the folder is durable. */
  #makeFolder(path: string): Promise<void> {
    let made = this.#folders.get(path);
    if (made === undefined) {
      made = mkdir(path, { recursive: true }).then(() => syncFolder(this.#folder));
      this.#folders.set(path, made);
      made.catch(() => this.#folders.delete(path));
    }
    return made;
  }

  #pathOf(eid: Uint8Array): string {
    const name = toHex(eid);
    return join(this.#folder, name.slice(0, 2), name);
  }
}
