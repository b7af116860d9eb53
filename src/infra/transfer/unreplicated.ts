import { existsSync } from 'node:fs';
import type { EventFilter } from '../eventlog/eventlog.js';
import { readGeneration } from '../projector/projection-file.js';
import { quorumPosition } from '../readmodels/outbox/outbox-rows.js';
import { Connection } from '../sqlite/connection.js';

/** The events that commands made, and that can be judged afresh: `import --rebase`. */
export const OF_COMMANDS = { categories: ['mission', 'task', 'job'] } as const satisfies EventFilter;

/**
 * The position of the last event that a quorum has signed for, as far as the outbox knows; 0 when it knows of none.
 * Works beside a running core.
 * @param path of `outbox.db`
 * @param logId of the log at hand: the positions of another say nothing
 */
export async function replicatedPosition(path: string, logId: string): Promise<bigint> {
  if (!existsSync(path)) return 0n;
  const file = await Connection.open(path, 'read');
  try {
    return await file.transaction('BEGIN', async () => {
      const live = await readGeneration(file, 'live');
      if (live?.logId !== logId) return 0n;
      return quorumPosition(file);
    });
  } finally {
    await file.close();
  }
}
