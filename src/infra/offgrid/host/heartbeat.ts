import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import { BrokerError, type BrokerClient } from '../broker/client.js';
import { PRICES } from './memory-routes.js';
import type { RunningHost } from './server.js';

/** How often a host tells the broker that it is there, in milliseconds. */
const INTERVAL_MS = 10_000;

/** Tells a broker that a host is there, until the signal; best effort. */
export async function heartbeat(
  host: RunningHost,
  broker: BrokerClient,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (let isAway = false; !signal.aborted;) {
    try {
      await broker.announce({ nodeId: host.identity.id, url: host.url, prices: PRICES, freeBytes: host.freeBytes });
      isAway = false;
    } catch (error) {
      if (!isAway) logger.info(error instanceof BrokerError ? error.message : 'the broker cannot be told');
      isAway = true;
    }
    await delay(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
