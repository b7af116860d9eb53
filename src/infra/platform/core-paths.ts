import { join } from 'node:path';

/** The paths of a core's files, in the folder `core` of its data folder. */
export function corePaths(dataDir: string) {
  return corePathsIn(join(dataDir, 'core'));
}

/** The paths of a core's files in a given folder. */
export function corePathsIn(folder: string) {
  return {
    folder,
    log: join(folder, 'log.db'),
    missions: join(folder, 'missions.db'),
    outbox: join(folder, 'outbox.db'),
    /** The file of a projection. */
    projection: (name: string) => join(folder, `${name}.db`),
    /** The lock held by the process that owns the projections. */
    missionsLock: join(folder, 'missions.lock'),
    keyring: join(folder, 'keyring.json'),
    /** The highest writer epoch claimed from this folder, and why writing is stopped. */
    writer: join(folder, 'writer.json'),
    /** A cache of the replicator; it may be deleted. */
    frontiers: join(folder, 'frontiers.db'),
    /** The address of the running core, for other commands. */
    address: join(folder, 'core.json'),
  };
}

/** The paths of a core's files. */
export type CorePaths = ReturnType<typeof corePaths>;

/** The address that a running core writes to a file for other commands. A core that was killed leaves the file behind. */
export interface CoreAddress {
  readonly url: string;
  /** The id of the core's log; its position tokens begin with it. */
  readonly logId: string;
  readonly pid: number;
  /** The data folder, with links resolved. In a copy of the folder it names the original, so it is another core's address. */
  readonly dataDir: string;
}
