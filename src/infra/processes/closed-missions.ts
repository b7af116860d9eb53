import type { Lease } from '../eventlog/lease.js';
import type { Logger } from '../platform/logger.js';
import { openJobsOfClosedMissions } from '../readmodels/missions/mission-queries.js';
import type { CoreServices } from '../services/core-services.js';
import { isProjected, periodically, type Periodic } from './periodic.js';

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
  services: Pick<CoreServices, 'commands' | 'db' | 'log' | 'missions'>,
  logger: Logger,
  duty: Pick<Lease, 'isHeld'>,
): Periodic {
  const { commands, db } = services;
  return periodically('closed-missions', INTERVAL_MS, duty, logger, async (stopping) => {
    for (let more = true; more;) {
      const open = await openJobsOfClosedMissions(db, BATCH);
      const context = { actor: ACTOR, idempotencyKey: 'closed' };
      const outcomes = await Promise.all(
        open.map((id) => commands.cancelJob(id, MISSION_CLOSED, { ...context, correlationId: `${id}:closed` })),
      );
      // A read model that was told to pass over the end of a job shows it as open for good.
      const recorded = outcomes.some((outcome) => outcome.done && outcome.recorded);
      more = recorded && duty.isHeld && (await isProjected(services, stopping));
    }
  });
}
