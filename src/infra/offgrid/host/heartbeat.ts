import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../platform/logger.js';
import { BrokerError, type BrokerClient } from '../broker/client.js';
import { PRICES } from './memory-routes.js';
import type { RunningHost } from './server.js';

/** The interval at which a host announces itself to the broker, in milliseconds. */
const INTERVAL_MS = 10_000;

/** Announces a host to a broker until the signal aborts. Failures are logged, the first of a series only. */
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
      if (!isAway)
        logger.info(error instanceof BrokerError ? error.message : 'the host cannot be announced to the broker');
      isAway = true;
    }
    await delay(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
