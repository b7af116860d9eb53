import { join } from 'node:path';

/** Where a core keeps its files. */
export function corePaths(dataDir: string) {
  return corePathsIn(join(dataDir, 'core'));
}

/** The files of a core in its folder. */
export function corePathsIn(folder: string) {
  return {
    folder,
    log: join(folder, 'log.db'),
    missions: join(folder, 'missions.db'),
    outbox: join(folder, 'outbox.db'),
    /** The file of a projection. */
    projection: (name: string) => join(folder, `${name}.db`),
    /** Held by the process that owns the projections. */
    missionsLock: join(folder, 'missions.lock'),
    keyring: join(folder, 'keyring.json'),
    /** Who writes to the hosts for this core, and under which epoch. */
    writer: join(folder, 'writer.json'),
    /** What the replicator need not work out again; it may be deleted. */
    frontiers: join(folder, 'frontiers.db'),
    /** Tells other commands where the running core listens. */
    address: join(folder, 'core.json'),
  };
}

/** Where a core keeps its files. */
export type CorePaths = ReturnType<typeof corePaths>;

/** What a running core writes down for other commands. One that was killed leaves it behind. */
export interface CoreAddress {
  readonly url: string;
  /** Names the log it has; its positions begin with it. */
  readonly logId: string;
  readonly pid: number;
  /** The data folder, without links: a copy of it has a copy of this, and is another core's. */
  readonly dataDir: string;
}
