import { setTimeout as delay } from 'node:timers/promises';
import { LogError } from '../eventlog/errors.js';
import { WaitingRoom } from '../http/waiting-room.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import type { Config } from './config.js';
import { openLog, type OpenLog } from './open-log.js';

/** The pause before a server that cannot be reached is tried again, in milliseconds. */
const RETRY_MS = 1_000;

/** What a core starts with once its log is open. */
export interface Start extends OpenLog {
  /** The port to listen on: the one on which the core answered while it waited. */
  readonly port: number;
}

/**
 * Opens the log. A server may come up after the core: until then the core answers that it is not ready, and why.
 * @throws LogError when waiting cannot help; the signal's reason when it is aborted
 */
export async function openLogWhenThere(
  config: Config,
  clock: Clock,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<Start> {
  const { port } = config;
  if (config.eventStore === undefined) return { ...(await openLog(config, clock, logger)), port };
  const room = await WaitingRoom.open(config);
  let said: string | undefined;
  try {
    for (;;) {
      try {
        return { ...(await openLog(config, clock, logger, signal)), port: room.port };
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof LogError) || error.code !== 'LOG_UNAVAILABLE') throw error;
        room.reason = `log: ${error.code}`;
        if (error.message !== said) logger.warn(error.message);
        said = error.message;
        await delay(RETRY_MS, undefined, signal === undefined ? {} : { signal });
      }
    }
  } finally {
    await room.close();
  }
}
