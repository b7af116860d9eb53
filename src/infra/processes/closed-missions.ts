import { sql } from 'kysely';
import type { Lease } from '../eventlog/lease.js';
import type { Services } from '../services/services.js';
import type { Logger } from '../platform/logger.js';
import { periodically, type Periodic } from './periodic.js';
import { settled } from '../services/settled.js';

/** How often closed missions are looked at, in milliseconds. */
const INTERVAL_MS = 500;
/** Jobs cancelled at a time. */
const BATCH = 100;

const ACTOR = 'process:closed-missions';
/** The reason recorded. */
const MISSION_CLOSED = 'MISSION_CLOSED';

/**
 * Cancels the open jobs of closed missions: those left when it closed, and those that slipped in while it closed, for
 * expected revisions are per stream.
 * @param duty of several cores on a log, one does it
 */
export function closedMissions(
  services: Pick<Services, 'commands' | 'db' | 'missions' | 'log'>,
  logger: Logger,
  duty: Pick<Lease, 'isHeld'>,
): Periodic {
  const { commands, db } = services;
  return periodically('closed-missions', INTERVAL_MS, duty, logger, async (stopping) => {
    for (let more = true; more;) {
      const open = await db
        .selectFrom('mission_stats')
        .innerJoin('jobs', 'jobs.mission_id', 'mission_stats.mission_id')
        .select('jobs.id')
        // As the partial index says it: a parameter would keep SQLite from using it.
        .where(sql<boolean>`mission_stats.closed = 1 and mission_stats.pending + mission_stats.dispatched > 0`)
        .where('jobs.status', 'in', ['PENDING', 'DISPATCHED'])
        .limit(BATCH)
        .execute();
      const context = { actor: ACTOR, idempotencyKey: 'closed' };
      const outcomes = await Promise.all(
        open.map(({ id }) => commands.cancelJob(id, MISSION_CLOSED, { ...context, correlationId: `${id}:closed` })),
      );
      // A read model that was told to pass over the end of a job shows it as open for good.
      const recorded = outcomes.some((outcome) => outcome.done && outcome.recorded);
      more = recorded && duty.isHeld && (await settled(services, stopping));
    }
  });
}
