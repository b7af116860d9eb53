import { existsSync } from 'node:fs';
import type { EventFilter } from '../eventlog/eventlog.js';
import { readGeneration } from '../projector/projection-file.js';
import { quorumPosition } from '../readmodels/outbox/outbox-rows.js';
import { Connection } from '../sqlite/connection.js';

/** The events that commands recorded, and that `import --rebase` can decide again. */
export const OF_COMMANDS = { categories: ['mission', 'task', 'job'] } as const satisfies EventFilter;

/**
 * The position of the last event at quorum, according to the outbox; 0 if there is none or the outbox is of another log.
 * The core may be running.
 * @param path of `outbox.db`
 * @param logId of the log at hand: the positions of another log have no meaning in it
 * @throws SqliteError
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
