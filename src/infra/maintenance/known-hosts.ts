import { existsSync } from 'node:fs';
import type { HostRow } from '../../projections/outbox-tables.js';
import { readGeneration } from '../projector/projection-file.js';
import { hostByFingerprint, hostsOfPolicy, quorumSequence } from '../readmodels/outbox/outbox-rows.js';
import { Connection } from '../sqlite/connection.js';
import { MaintenanceError } from './errors.js';

/** The hosts of the latest policy, as far as an outbox knows. @param outbox its path; it need not exist */
export async function knownHosts(outbox: string): Promise<readonly Pick<HostRow, 'url' | 'host'>[]> {
  return (await inOutbox(outbox, hostsOfPolicy)) ?? [];
}

/** A host that a policy has named, with all that the outbox knows of it; undefined when no policy has named it. */
export function knownHost(outbox: string, host: string): Promise<HostRow | undefined> {
  return inOutbox(outbox, (file) => hostByFingerprint(file, host));
}

/**
 * How many events of a log the outbox knows to be at quorum; 0 without an outbox.
 * @throws MaintenanceError when it was built from another log
 */
export async function knownQuorum(outbox: string, logId: string): Promise<number> {
  const quorum = await inOutbox(outbox, async (file) => {
    const live = await readGeneration(file, 'live');
    if (live !== undefined && live.logId !== logId)
      throw new MaintenanceError(
        `${outbox} was built from log ${live.logId}; this is log ${logId}: what the hosts have of it is unknown. Run \`sheratan replay outbox --reset\`.`,
      );
    return quorumSequence(file);
  });
  return quorum ?? 0;
}

/** Reads an outbox; undefined when there is none. */
async function inOutbox<R>(outbox: string, read: (file: Connection) => Promise<R>): Promise<R | undefined> {
  if (!existsSync(outbox)) return undefined;
  const file = await Connection.open(outbox, 'read');
  try {
    return await read(file);
  } finally {
    await file.close();
  }
}
