import { existsSync } from 'node:fs';
import type { HostRow } from '../../projections/outbox-tables.js';
import type { Config } from '../app/config.js';
import { corePaths } from '../platform/core-paths.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { readGeneration } from '../projector/projection-file.js';
import { Connection, type Param, type Row } from '../sqlite/connection.js';
import { CliError } from './errors.js';

/** The hosts of the latest policy, as far as the outbox knows. */
export function knownHosts(config: Config): Promise<readonly Pick<HostRow, 'url' | 'host'>[]> {
  return readOutbox<Pick<HostRow, 'url' | 'host'> & Row>(
    config,
    "SELECT url, host FROM hosts WHERE weight > 0 AND state <> 'RETIRED' ORDER BY url",
  );
}

/** A host that a policy has named, with all that the outbox knows of it; undefined when none has. */
export async function knownHost(host: string, config: Config): Promise<HostRow | undefined> {
  const [row] = await readOutbox<HostRow & Row>(config, 'SELECT * FROM hosts WHERE host = ?', [host]);
  return row;
}

/** How many events of a log the outbox knows to be at quorum; 0 without one. @throws CliError when it is of another log */
export async function knownQuorum({ logId }: EventLog, config: Config): Promise<number> {
  const { outbox } = corePaths(config.dataDir);
  const quorum = await inOutbox(config, async (file) => {
    const live = await readGeneration(file, 'live');
    if (live !== undefined && live.logId !== logId)
      throw new CliError(
        `${outbox} was built from log ${live.logId}; this is log ${logId}: what hosts have of it is not known. Run \`sheratan replay outbox --reset\`.`,
      );
    const [row] = await file.all<{ quorum: number }>('SELECT quorum FROM progress');
    return row?.quorum;
  });
  return quorum ?? 0;
}

async function readOutbox<R extends Row>(config: Config, sql: string, params: Param[] = []): Promise<readonly R[]> {
  return (await inOutbox(config, (file) => file.all<R>(sql, params))) ?? [];
}

/** Reads the outbox; undefined without one. */
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
