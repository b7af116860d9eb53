import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { corePathsIn, type CorePaths } from '../../platform/core-paths.js';
import { syncFolder } from '../../platform/files.js';
import { RestoreError } from './errors.js';

/** What a folder may hold and still be restored into. */
const KEPT: ReadonlySet<string> = new Set(['keyring.json']);

/**
 * A core's folder in the making, beside the one that it is to become: there is a whole core at the end, or none. What a
 * restore that was cut short has left is thrown away.
 */
export class StagingFolder {
  readonly paths: CorePaths;
  readonly #target: string;

  private constructor(target: string) {
    this.#target = target;
    this.paths = corePathsIn(`${target}.restoring`);
  }

  /** Ends what a restore that was killed while it finished has left: the folder that was there before is put back, or is in the way. */
  static async recover(target: string): Promise<void> {
    const before = beforeOf(target);
    if (!existsSync(before)) return;
    if (existsSync(target)) await rm(before, { recursive: true, force: true });
    else await rename(before, target);
    await syncFolder(dirname(target));
  }

  /** @throws RestoreError when there is a core already */
  static async open(target: string): Promise<StagingFolder> {
    const there = existsSync(target) ? await readdir(target) : [];
    const other = there.find((name) => !KEPT.has(name));
    if (other !== undefined)
      throw new RestoreError(
        `${target} is not empty (it has ${other}): a restore never writes over a core. Set SHERATAN_DATA_DIR to an empty folder, or move this one away.`,
      );
    const stage = new StagingFolder(target);
    await stage.clear();
    return stage;
  }

  /** Begins again with nothing. */
  async clear(): Promise<void> {
    await rm(this.paths.folder, { recursive: true, force: true });
    await mkdir(this.paths.folder, { recursive: true });
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    await rm(this.paths.folder, { recursive: true, force: true });
  }

  /** Makes it the core's folder. */
  async finish(): Promise<void> {
    const before = beforeOf(this.#target);
    await syncFolder(this.paths.folder);
    if (existsSync(this.#target)) await rename(this.#target, before);
    await rename(this.paths.folder, this.#target);
    await syncFolder(dirname(this.#target));
    await rm(before, { recursive: true, force: true });
  }
}

/** Where the folder is kept while another takes its place. */
function beforeOf(target: string): string {
  return `${target}.before`;
}
