import { setTimeout as delay } from 'node:timers/promises';
import type { Lease } from '../eventlog/lease.js';
import { FailureLog } from '../platform/failure-log.js';
import type { Logger } from '../platform/logger.js';
import type { CoreServices } from '../services/core-services.js';

/** How long to wait for the read model to show recorded events, in milliseconds. */
const PROJECTED_TIMEOUT_MS = 5_000;

/** Work that runs repeatedly until it is stopped, never twice at the same time. */
export interface Periodic {
  /** Aborts the signal given to the work, and waits for the work to end. */
  stop(): Promise<void>;
}

/**
 * Runs `work` immediately and then `intervalMs` after each run has ended, while the lease is held. A failure is logged and
 * the work is tried again.
 * @param work should end soon after its signal is aborted, because `stop` waits for it
 */
export function periodically(
  name: string,
  intervalMs: number,
  lease: Pick<Lease, 'isHeld'>,
  logger: Logger,
  work: (stopping: AbortSignal) => Promise<void>,
): Periodic {
  const stopping = new AbortController();
  const failures = new FailureLog(logger, `process '${name}' fails`);
  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        if (lease.isHeld) {
          await work(stopping.signal);
          failures.succeeded();
        }
      } catch (error) {
        if (!stopping.signal.aborted) failures.failed(error);
      }
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** Waits for the missions read model to reach the end of the log; false after 5 s, on a halt, or when the signal is aborted. */
export async function isProjected(
  { log, missions }: Pick<CoreServices, 'log' | 'missions'>,
  signal: AbortSignal,
): Promise<boolean> {
  const head = await log.head();
  if (signal.aborted) return false;
  return missions.reaches(head, PROJECTED_TIMEOUT_MS, signal);
}
