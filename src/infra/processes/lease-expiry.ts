import type { JobState } from '../../domain/job.js';
import type { Commands } from '../commands/commands.js';
import type { Outcome } from '../commands/handler.js';
import type { Lease } from '../eventlog/lease.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { expiredLeases } from '../readmodels/missions/job-queries.js';
import type { CoreServices } from '../services/core-services.js';
import { isProjected, periodically, type Periodic } from './periodic.js';

/** The interval between checks for expired leases, in milliseconds. */
const INTERVAL_MS = 1_000;
/** The most leases handled at a time. */
const BATCH = 100;

const ACTOR = 'process:lease-expiry';

/**
 * Records that leases have run out. The read model gives the candidates; the decider checks each. The events' ids are derived
 * from the attempt, so recording one twice, here or on another core, changes nothing.
 * @param duty held by the one core that does this work, of several cores on a log
 */
export function leaseExpiry(
  services: Pick<CoreServices, 'commands' | 'db' | 'log' | 'missions'>,
  clock: Clock,
  logger: Logger,
  duty: Pick<Lease, 'isHeld'>,
): Periodic {
  const { commands, db } = services;
  return periodically('lease-expiry', INTERVAL_MS, duty, logger, async (stopping) => {
    for (let more = true; more;) {
      const due = await expiredLeases(db, clock.now().toISOString(), BATCH);
      const outcomes = await Promise.all(due.map(({ id, attempt }) => expire(commands, id, attempt)));
      // A read model that skipped the end of an attempt shows its lease as due permanently: stop when nothing is recorded.
      const recorded = outcomes.some((outcome) => outcome.done && outcome.recorded);
      more = due.length === BATCH && recorded && duty.isHeld && (await isProjected(services, stopping));
    }
  });
}

function expire(commands: Commands, id: string, attempt: number): Promise<Outcome<JobState>> {
  const cause = `lease:${attempt}`;
  return commands.expireLease(id, attempt, { actor: ACTOR, correlationId: `${id}:${cause}`, idempotencyKey: cause });
}
