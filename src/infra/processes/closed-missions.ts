import type { Lease } from '../eventlog/lease.js';
import type { Logger } from '../platform/logger.js';
import { openJobsOfClosedMissions } from '../readmodels/missions/mission-queries.js';
import type { CoreServices } from '../services/core-services.js';
import { isProjected, periodically, type Periodic } from './periodic.js';

/** The interval between checks for closed missions, in milliseconds. */
const INTERVAL_MS = 500;
/** The most jobs cancelled at a time. */
const BATCH = 100;

const ACTOR = 'process:closed-missions';
/** The cancellation reason that is recorded. */
const MISSION_CLOSED = 'MISSION_CLOSED';

/**
 * Cancels the open jobs of closed missions: those that were open when the mission was closed, and those that were created at
 * the same time, which is possible because expected revisions apply to one stream only.
 * @param duty held by the one core that does this work, of several cores on a log
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
      // A read model that skipped the event that ended a job shows the job as open permanently: stop when nothing is recorded.
      const recorded = outcomes.some((outcome) => outcome.done && outcome.recorded);
      more = recorded && duty.isHeld && (await isProjected(services, stopping));
    }
  });
}
