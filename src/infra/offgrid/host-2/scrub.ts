import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../logger.js';
import type { Replicas } from './replicas.js';
import type { SqliteReplicaStore } from './sqlite-replica-store.js';

/** The most bytes read a second. */
const BYTES_PER_SECOND = 1024 * 1024;
/** Events looked at in one go. */
const PAGE = 64;
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
 * and address against the leaf. What fails is known as damaged from then on, and the core sends it again.
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
  const { store, replicas, bytesPerSecond = BYTES_PER_SECOND } = options;
  let found = 0;
  for (let after = 0; !signal.aborted;) {
    while (!replicas.isIdle && !signal.aborted) await pause(WHILE_BUSY_MS, signal);
    const page = await store.scrub(origin, after, PAGE);
    if (page.found > 0) await replicas.use(origin, (replica) => replica.recount());
    found += page.found;
    if (page.last === undefined) break;
    after = page.last;
    await pause((page.bytes / bytesPerSecond) * 1_000, signal);
  }
  return found;
}

/** Waits, or until the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
