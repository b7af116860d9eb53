import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { corePathsIn, type CorePaths } from '../../platform/core-paths.js';
import { syncFolder } from '../../platform/files.js';
import { RestoreError } from './errors.js';

/** What a folder may hold and still be the target of a restore. */
const KEPT: ReadonlySet<string> = new Set(['keyring.json']);

/**
 * A core's folder in the making, beside the folder that it becomes: at the end there is a complete core, or none. The
 * remains of a restore that was interrupted are deleted.
 */
export class StagingFolder {
  readonly paths: CorePaths;
  readonly #target: string;

  private constructor(target: string) {
    this.#target = target;
    this.paths = corePathsIn(`${target}.restoring`);
  }

  /**
   * Completes the work of a restore that was killed while it finished: the previous folder is put back, or deleted when
   * the new one is in its place.
   */
  static async recover(target: string): Promise<void> {
    const before = beforeOf(target);
    if (!existsSync(before)) return;
    if (existsSync(target)) await rm(before, { recursive: true, force: true });
    else await rename(before, target);
    await syncFolder(dirname(target));
  }

  /** @throws RestoreError when the folder already holds a core */
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

  /** Begins again with an empty folder. */
  async clear(): Promise<void> {
    await rm(this.paths.folder, { recursive: true, force: true });
    await mkdir(this.paths.folder, { recursive: true });
  }

  /** Deletes the folder. */
  async discard(): Promise<void> {
    await rm(this.paths.folder, { recursive: true, force: true });
  }

  /** Puts the folder in the place of the core's folder. */
  async finish(): Promise<void> {
    const before = beforeOf(this.#target);
    await syncFolder(this.paths.folder);
    if (existsSync(this.#target)) await rename(this.#target, before);
    await rename(this.paths.folder, this.#target);
    await syncFolder(dirname(this.#target));
    await rm(before, { recursive: true, force: true });
  }
}

/** Where the previous folder is kept while the new one takes its place. */
function beforeOf(target: string): string {
  return `${target}.before`;
}
