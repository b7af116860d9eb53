import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import { EVENT_BYTES } from './history-rows.js';
import type { Replicas } from './replicas.js';
import type { SqliteReplicaStore } from './sqlite-replica-store.js';

/** The most bytes read a second. */
const BYTES_PER_SECOND = 1024 * 1024;
/** Events looked at in one go. */
const PAGE = 64;
/** and the most bytes of them, but for a single one. */
const PAGE_BYTES = 256 * 1024;
/** How long it waits for requests to end before it looks again, in milliseconds. */
const WHILE_BUSY_MS = 250;
/** The shortest time between two rounds, in milliseconds. */
const BETWEEN_ROUNDS_MS = 60_000;

/** What is scrubbed, and how fast. */
export interface ScrubOptions {
  readonly store: SqliteReplicaStore;
  readonly replicas: Replicas;
  readonly logger: Logger;
  /** The most bytes read a second. */
  readonly bytesPerSecond?: number;
  /** The shortest time between two rounds, in milliseconds. */
  readonly betweenRoundsMs?: number;
}

/**
 * Reads what a host keeps, round after round while nobody asks for anything: contents against their addresses, type, time
 * and address against the leaf, leaves against the head's root. What fails is known as damaged from then on, and the core sends it again.
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
        logger.warn({ origin, damaged: found }, 'events are damaged; the core is told and sends them again');
    }
    await pause(betweenRoundsMs, signal);
  }
}

/** @returns how many events it has found to be damaged */
async function scrubOrigin(origin: string, options: ScrubOptions, signal: AbortSignal): Promise<number> {
  const { store, replicas, logger, bytesPerSecond = BYTES_PER_SECOND } = options;
  const replica = replicas.of(origin);
  const before = (await replica.status()).damaged;
  for (const of of ['head', 'staged'] as const)
    for (let after = 0; !signal.aborted;) {
      while (!replicas.isIdle && !signal.aborted) await pause(WHILE_BUSY_MS, signal);
      const page = await store.events(origin, { of, after, limit: PAGE }, PAGE_BYTES).catch((error: unknown) => {
        logger.error({ err: error, origin, of, after }, 'a part of what is kept cannot be scrubbed');
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
    logger.error({ origin }, 'the events that are kept are not those that the head was signed for');
  return (await replica.status()).damaged - before;
}

/** Waits, or until the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
