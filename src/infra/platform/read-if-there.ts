import { readFile } from 'node:fs/promises';

/** The content of a file; undefined when there is none. @throws the system's error when it cannot be read */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
}
