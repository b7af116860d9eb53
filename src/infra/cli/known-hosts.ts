import { existsSync } from 'node:fs';
import type { HostRow } from '../../projections/outbox-tables.js';
import type { Config } from '../config.js';
import { corePaths } from '../core-paths.js';
import { Connection, type Param, type Row } from '../sqlite/connection.js';

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

/** How many events the outbox knows to be at quorum; 0 without one. */
export async function knownQuorum(config: Config): Promise<number> {
  const [row] = await readOutbox<{ quorum: number }>(config, 'SELECT quorum FROM progress');
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
