import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How a file is written. */
export interface WriteOptions {
  /** Permissions; those of any new file unless given. */
  readonly mode?: number;
  /** Whether a file that is there stays as it is: EEXIST. It is replaced otherwise. */
  readonly exclusive?: boolean;
}

/**
 * Writes a file whole or not at all, whatever happens meanwhile; it is on the disk when this returns: a temporary file,
 * fsync, rename, fsync of the folder.
 * @throws the system's error
 */
export async function writeDurably(
  path: string,
  content: string | Uint8Array,
  { mode = 0o666, exclusive = false }: WriteOptions = {},
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await open(temporary, 'wx', mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  try {
    if (exclusive) await link(temporary, path);
    else await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(dirname(path));
}

/** Makes what was named, renamed or removed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The content of a file; undefined when there is none. @throws the system's error when it cannot be read */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
}
