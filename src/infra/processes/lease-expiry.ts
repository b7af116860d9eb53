import { sql } from 'kysely';
import type { Clock } from '../clock.js';
import type { Commands } from '../commands/commands.js';
import type { Services } from '../graphql/services.js';
import type { Logger } from '../logger.js';
import { periodically, type Periodic } from './periodic.js';

/** How often leases are looked at, in milliseconds. */
const INTERVAL_MS = 1_000;
/** Leases dealt with at a time. */
const BATCH = 100;
/** How long the read model may take to show what was recorded, in milliseconds. */
const SETTLE_MS = 5_000;

const ACTOR = 'process:lease-expiry';

/**
 * Records that leases have run out. The read model says which; the decider says whether it is so. The events' ids follow
 * from the attempt, so that doing it twice, here or on another core, changes nothing.
 */
export function leaseExpiry(
  { commands, db, missions, log }: Pick<Services, 'commands' | 'db' | 'missions' | 'log'>,
  clock: Clock,
  logger: Logger,
): Periodic {
  return periodically('lease-expiry', INTERVAL_MS, logger, async () => {
    for (let full = true; full;) {
      const due = await db
        .selectFrom('jobs')
        .select(['id', 'attempt'])
        // As the partial index says it: a parameter would keep SQLite from using it.
        .where(sql<boolean>`status = 'DISPATCHED'`)
        .where('lease_expires_at', '<=', clock.now().toISOString())
        .orderBy('lease_expires_at')
        .limit(BATCH)
        .execute();
      await Promise.all(due.map(({ id, attempt }) => expire(commands, id, attempt)));
      full = due.length === BATCH && (await missions.reaches(await log.head(), SETTLE_MS));
    }
  });
}

async function expire(commands: Commands, id: string, attempt: number): Promise<void> {
  const cause = `lease:${attempt}`;
  await commands.expireLease(id, attempt, { actor: ACTOR, correlationId: `${id}:${cause}`, idempotencyKey: cause });
}
