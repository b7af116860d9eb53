import { join } from 'node:path';

/** Where a core keeps its files. */
export function corePaths(dataDir: string) {
  const folder = join(dataDir, 'core');
  return {
    folder,
    log: join(folder, 'log.db'),
    missions: join(folder, 'missions.db'),
    missionsLock: join(folder, 'missions.lock'),
    /** Tells other commands where the running core listens. */
    address: join(folder, 'core.json'),
  };
}

/** What a running core writes down for other commands. One that was killed leaves it behind. */
export interface CoreAddress {
  readonly url: string;
  /** Names the log it has; its positions begin with it. */
  readonly logId: string;
}
