import { existsSync } from 'node:fs';
import type { HostRow } from '../../projections/outbox-tables.js';
import type { Config } from '../app/config.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { corePaths } from '../platform/core-paths.js';
import { readGeneration } from '../projector/projection-file.js';
import { hostByFingerprint, hostsOfPolicy, quorumSequence } from '../readmodels/outbox/outbox-rows.js';
import { Connection } from '../sqlite/connection.js';
import { CliError } from './errors.js';

/** The hosts of the latest policy, as far as the outbox knows. */
export async function knownHosts(config: Config): Promise<readonly Pick<HostRow, 'url' | 'host'>[]> {
  return (await inOutbox(config, hostsOfPolicy)) ?? [];
}

/** A host that a policy has named, with all that the outbox knows of it; undefined when no policy has named it. */
export function knownHost(host: string, config: Config): Promise<HostRow | undefined> {
  return inOutbox(config, (file) => hostByFingerprint(file, host));
}

/** How many events of a log the outbox knows to be at quorum; 0 without one. @throws CliError when it is of another log */
export async function knownQuorum({ logId }: EventLog, config: Config): Promise<number> {
  const { outbox } = corePaths(config.dataDir);
  const quorum = await inOutbox(config, async (file) => {
    const live = await readGeneration(file, 'live');
    if (live !== undefined && live.logId !== logId)
      throw new CliError(
        `${outbox} was built from log ${live.logId}; this is log ${logId}: what the hosts have of it is unknown. Run \`sheratan replay outbox --reset\`.`,
      );
    return quorumSequence(file);
  });
  return quorum ?? 0;
}

/** Reads the outbox; undefined when there is none. */
async function inOutbox<R>({ dataDir }: Config, read: (file: Connection) => Promise<R>): Promise<R | undefined> {
  const { outbox } = corePaths(dataDir);
  if (!existsSync(outbox)) return undefined;
  const file = await Connection.open(outbox, 'read');
  try {
    return await read(file);
  } finally {
    await file.close();
  }
}
