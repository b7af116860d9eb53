import { HostClients } from '../offgrid/protocol/host-clients.js';
import { repair, type Repaired, type RepairRequest } from '../offgrid/restore/repair.js';
import { systemTime, type Clock } from '../platform/clock.js';
import type { CorePaths } from '../platform/core-paths.js';
import { ProcessLock } from '../sqlite/process-lock.js';
import { MaintenanceError } from './errors.js';
import type { Watch } from './watch.js';

/** How long to wait for a core that is stopping, in milliseconds. */
const LOCK_WAIT_MS = 1_000;

/** A log in a core's folder to be repaired from hosts. */
export interface LogRepair extends Omit<RepairRequest, 'log' | 'outbox'> {
  readonly paths: CorePaths;
  /** The key that the core shares with its hosts. */
  readonly authKey: string;
}

/**
 * Repairs the log of a stopped core from hosts; no core can start on the folder meanwhile.
 * @throws MaintenanceError when a core runs on the folder; RepairError, after which nothing has changed
 */
export async function repairLog(
  { paths, authKey, ...request }: LogRepair,
  { onProgress, onTrouble }: Watch,
  clock: Clock,
): Promise<Repaired> {
  const lock = await ProcessLock.take(paths.missionsLock, LOCK_WAIT_MS);
  if (lock === undefined)
    throw new MaintenanceError(
      `A core runs on ${paths.folder}. Stop it first: its log must not be written during a repair.`,
    );
  const clients = new HostClients(authKey, clock);
  try {
    return await repair(
      { ...request, log: paths.log, outbox: paths.outbox },
      {
        clientOf: (url, host) => clients.of(url, host),
        clock,
        time: systemTime(clock),
        onProgress: (what, done, of) => {
          onProgress(what, what === 'entries' ? 'entries' : 'positions', done, of);
        },
        onTrouble,
      },
    );
  } finally {
    clients.close();
    await lock.release();
  }
}
