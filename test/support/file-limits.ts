import { execFile } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { doWithout } from './machine.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

/**
 * Makes a file or folder read-only; returns a function that undoes this. Permissions do not bind root, for whom the
 * immutable flag is set instead.
 * @throws what `doWithout` throws, where neither is possible
 */
export async function makeReadOnly(path: string): Promise<() => Promise<unknown>> {
  if (!isRoot) {
    await chmod(path, 0o555);
    return () => chmod(path, 0o755);
  }
  await run('chattr', ['+i', path]).catch((error: unknown) =>
    doWithout(`Root may not run 'chattr +i' in ${dirname(path)}: only an ordinary user can run this test`, error),
  );
  return () => run('chattr', ['-i', path]);
}

/**
 * Mounts a small file system in memory; returns a function that unmounts it.
 * @throws what `doWithout` throws, where mounting is not allowed
 */
export async function mountSmallDisk(path: string, bytes: number): Promise<() => Promise<unknown>> {
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]).catch((error: unknown) =>
    doWithout('A small disk cannot be mounted: it takes root, or a container with CAP_SYS_ADMIN', error),
  );
  return () => run('umount', [path]);
}
