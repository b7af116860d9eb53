import { existsSync } from 'node:fs';
import type { HostRow } from '../../projections/outbox-tables.js';
import type { Config } from '../config.js';
import { corePaths } from '../core-paths.js';
import type { EventLog } from '../eventlog/eventlog.js';
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
  const sql = "SELECT log_id, (SELECT quorum FROM progress) AS quorum FROM generations WHERE slot = 'live'";
  const [row] = await readOutbox<{ log_id: string; quorum: number | null }>(config, sql);
  if (row !== undefined && row.log_id !== logId)
    throw new CliError(
      `${corePaths(config.dataDir).outbox} was built from log ${row.log_id}; this is log ${logId}: what hosts have of it is not known. Run \`sheratan replay outbox --reset\`.`,
    );
  return row?.quorum ?? 0;
}

async function readOutbox<R extends Row>(
  { dataDir }: Config,
  sql: string,
  params: Param[] = [],
): Promise<readonly R[]> {
  const { outbox } = corePaths(dataDir);
  if (!existsSync(outbox)) return [];
  const file = await Connection.open(outbox, 'read');
  try {
    return await file.all<R>(sql, params);
  } finally {
    await file.close();
  }
}
