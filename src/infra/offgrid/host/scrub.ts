import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import { EVENT_BYTES } from './history-rows.js';
import type { Replicas } from './replicas.js';
import type { SqliteReplicaStore } from './sqlite-replica-store.js';

/** The default maximum read rate, in bytes per second. */
const BYTES_PER_SECOND = 1024 * 1024;
/** The maximum number of events in a page. */
const PAGE = 64;
/** The maximum size of a page in bytes; a single larger event is read alone. */
const PAGE_BYTES = 256 * 1024;
/** How long to wait before checking again whether requests are in progress, in milliseconds. */
const WHILE_BUSY_MS = 250;
/** The default pause between two rounds, in milliseconds. */
const BETWEEN_ROUNDS_MS = 60_000;

/** The options of a scrub. */
export interface ScrubOptions {
  readonly store: SqliteReplicaStore;
  readonly replicas: Replicas;
  readonly logger: Logger;
  /** The maximum read rate, in bytes per second; by default 1 MiB. */
  readonly bytesPerSecond?: number;
  /** The pause between two rounds, in milliseconds; by default a minute. */
  readonly betweenRoundsMs?: number;
}

/**
 * Checks everything that a host keeps, in rounds while no requests are in progress: contents against their addresses; type,
 * time and address against the leaf; leaves against the roots of the head and of the staged tree. What fails is marked as
 * damaged, and the core sends it again.
 */
export async function scrub(options: ScrubOptions, signal: AbortSignal): Promise<void> {
  const { store, logger, betweenRoundsMs = BETWEEN_ROUNDS_MS } = options;
  while (!signal.aborted) {
    for (const origin of store.origins) {
      const found = await scrubOrigin(origin, options, signal).catch((error: unknown) => {
        logger.error({ err: error, origin }, 'a scrub failed');
        return 0;
      });
      if (found > 0)
        logger.warn({ origin, damaged: found }, 'events are damaged; the core is informed and sends them again');
    }
    await pause(betweenRoundsMs, signal);
  }
}

/** Checks one origin. @returns the number of newly found damaged events */
async function scrubOrigin(origin: string, options: ScrubOptions, signal: AbortSignal): Promise<number> {
  const { store, replicas, logger, bytesPerSecond = BYTES_PER_SECOND } = options;
  const replica = replicas.of(origin);
  const before = (await replica.status()).damaged;
  for (const of of ['head', 'staged'] as const)
    for (let after = 0; !signal.aborted;) {
      while (!replicas.isIdle && !signal.aborted) await pause(WHILE_BUSY_MS, signal);
      const page = await store.events(origin, { of, after, limit: PAGE }, PAGE_BYTES).catch((error: unknown) => {
        logger.error({ err: error, origin, of, after }, 'a page of events cannot be scrubbed');
        return undefined;
      });
      if (page?.length === 0) break;
      if (page?.some(({ sealed }) => sealed === null) === true) await replica.recount();
      const bytes = page?.reduce((sum, { sealed }) => sum + EVENT_BYTES + (sealed?.byteLength ?? 0), 0);
      after = page?.at(-1)?.sequence ?? after + PAGE;
      await pause(((bytes ?? PAGE_BYTES) / bytesPerSecond) * 1_000, signal);
      if (page === undefined && after > (await replica.status()).sequence) break;
    }
  if (!signal.aborted && !(await replica.checkLeaves()))
    logger.error({ origin }, 'the stored leaves do not give the root of the head');
  return (await replica.status()).damaged - before;
}

/** Waits for a time, or until the signal aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
