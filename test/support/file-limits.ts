import { execFile } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

/**
 * Makes a file or folder read-only; returns how to undo it. Permissions do not bind root, who uses the immutable flag.
 * @throws Error where neither can be done: run the tests as an ordinary user then
 */
export async function makeReadOnly(path: string): Promise<() => Promise<unknown>> {
  if (!isRoot) {
    await chmod(path, 0o555);
    return () => chmod(path, 0o755);
  }
  await run('chattr', ['+i', path]).catch((error: unknown) => {
    throw new Error(`This test needs an ordinary user, or a root who may 'chattr +i ${path}'.`, { cause: error });
  });
  return () => run('chattr', ['-i', path]);
}

/**
 * Mounts a small file system in memory; returns how to unmount it.
 * @throws Error where that is not allowed: run the tests as root, or in a container with CAP_SYS_ADMIN
 */
export async function mountSmallDisk(path: string, bytes: number): Promise<() => Promise<unknown>> {
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]).catch((error: unknown) => {
    throw new Error(`This test needs to be root and to mount a tmpfs at ${path}: it fills a disk.`, { cause: error });
  });
  return () => run('umount', [path]);
}
