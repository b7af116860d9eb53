import { existsSync } from 'node:fs';
import type { HostRow } from '../../projections/outbox-tables.js';
import type { Config } from '../config.js';
import { corePaths } from '../core-paths.js';
import { Connection, type Row } from '../sqlite/connection.js';

/** The hosts of the latest policy, as far as the outbox knows. */
export async function knownHosts(config: Config): Promise<readonly Pick<HostRow, 'url' | 'host'>[]> {
  const { outbox } = corePaths(config.dataDir);
  if (!existsSync(outbox)) return [];
  const file = await Connection.open(outbox, 'read');
  try {
    return await file.all<Pick<HostRow, 'url' | 'host'> & Row>(
      "SELECT url, host FROM hosts WHERE weight > 0 AND state <> 'RETIRED' ORDER BY url",
    );
  } finally {
    await file.close();
  }
}
