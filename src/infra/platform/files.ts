import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The options for writing a file. */
export interface WriteOptions {
  /** Permissions; by default those of any new file. */
  readonly mode?: number;
  /** Whether writing fails with EEXIST when the file exists. By default the file is replaced. */
  readonly exclusive?: boolean;
}

/**
 * Writes a file completely or not at all, even if the process is killed. The file is on the disk when this returns: it writes a
 * temporary file, calls fsync, renames the file and calls fsync on the folder.
 * @throws Error of the operating system
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

/** Makes files that were created, renamed or removed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The content of a file; undefined when it does not exist. @throws Error of the operating system when it cannot be read */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
}
