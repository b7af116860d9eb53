import { setTimeout as delay } from 'node:timers/promises';
import type { Lease } from '../eventlog/lease.js';
import type { Logger } from '../platform/logger.js';
import type { CoreServices } from '../services/core-services.js';

/** How long the read model may take to show what was recorded, in milliseconds. */
const PROJECTED_TIMEOUT_MS = 5_000;

/** Work that is looked for again and again until it is stopped; never twice at a time. */
export interface Periodic {
  stop(): Promise<void>;
}

/**
 * Runs `work` at once and then every `intervalMs` after it has finished, while the lease is held. A failure is logged and
 * tried again.
 * @param work is told by its signal to end soon, for it is waited for
 */
export function periodically(
  name: string,
  intervalMs: number,
  lease: Pick<Lease, 'isHeld'>,
  logger: Logger,
  work: (stopping: AbortSignal) => Promise<void>,
): Periodic {
  const stopping = new AbortController();
  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        if (lease.isHeld) await work(stopping.signal);
      } catch (error) {
        if (!stopping.signal.aborted) logger.error({ err: error, process: name }, 'process failed; trying again');
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

/** Waits until the read model of missions shows all that is recorded; false when that takes too long, or with the signal. */
export async function isProjected(
  { log, missions }: Pick<CoreServices, 'log' | 'missions'>,
  signal: AbortSignal,
): Promise<boolean> {
  const head = await log.head();
  if (signal.aborted) return false;
  return missions.reaches(head, PROJECTED_TIMEOUT_MS, signal);
}
