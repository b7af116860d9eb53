import { execFile } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

/**
 * Makes a file or folder read-only; returns a function that undoes this. Permissions do not bind root, for whom the
 * immutable flag is set instead.
 * @throws Error where neither is possible: run the tests as an ordinary user then
 */
export async function makeReadOnly(path: string): Promise<() => Promise<unknown>> {
  if (!isRoot) {
    await chmod(path, 0o555);
    return () => chmod(path, 0o755);
  }
  await run('chattr', ['+i', path]).catch((error: unknown) => {
    throw new Error(`This test needs an ordinary user, or root with the right to run 'chattr +i ${path}'.`, {
      cause: error,
    });
  });
  return () => run('chattr', ['-i', path]);
}

/**
 * Mounts a small file system in memory; returns a function that unmounts it.
 * @throws Error where mounting is not allowed: run the tests as root, or in a container with CAP_SYS_ADMIN
 */
export async function mountSmallDisk(path: string, bytes: number): Promise<() => Promise<unknown>> {
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]).catch((error: unknown) => {
    throw new Error(`This test fills a disk: it needs root and the right to mount a tmpfs at ${path}.`, {
      cause: error,
    });
  });
  return () => run('umount', [path]);
}
