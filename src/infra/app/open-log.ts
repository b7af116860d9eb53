import { EmbeddedLog } from '../eventlog/embedded/embedded-log.js';
import { renewLogId } from '../eventlog/embedded/log-file.js';
import type { EventLog } from '../eventlog/eventlog.js';
import type { ServerAddress } from '../eventlog/eventstore/address.js';
import type { Lease } from '../eventlog/lease.js';
import type { Clock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import type { Logger } from '../platform/logger.js';
import type { Config } from './config.js';

/** How long it takes to rewrite a log's file, in seconds a byte. */
const REWRITE_SECONDS_A_BYTE = 12e-9;
/** Whoever waits longer than this, in seconds, should know for what. */
const MAX_SILENT_SECONDS = 2;

/** An open log, and the leases of this core on it. */
export interface OpenLog {
  readonly log: EventLog;
  /** Tries to take and keep a lease until it is stopped; undefined for a core that is alone on its log. */
  readonly lease: ((name: string) => Lease) | undefined;
}

/**
 * Opens the log that a configuration names: on a server, or in the core's folder, which must exist.
 * @param signal aborts the wait for a server
 * @throws LogError
 */
export async function openLog(config: Config, clock: Clock, logger: Logger, signal?: AbortSignal): Promise<OpenLog> {
  const { eventStore } = config;
  if (eventStore === undefined) return { log: await openFile(config, clock, logger), lease: undefined };
  return openServer(eventStore, logger, signal);
}

/** Opens the log in a data folder, whose folder of the core must exist. @throws LogError */
export function openFile({ dataDir }: Pick<Config, 'dataDir'>, clock: Clock, logger: Logger): Promise<EventLog> {
  const { log } = corePaths(dataDir);
  const onRewrite = (bytes: number) => {
    const seconds = Math.ceil(bytes * REWRITE_SECONDS_A_BYTE);
    logger[seconds > MAX_SILENT_SECONDS ? 'warn' : 'info'](
      { log, seconds },
      'the log is rewritten for this version, once',
    );
  };
  return EmbeddedLog.open(log, clock, { onRewrite });
}

/** Opens the log on a server. @throws LogError LOG_UNAVAILABLE when it does not answer for ten seconds; LOG_DENIED */
export async function openServer(address: ServerAddress, logger: Logger, signal?: AbortSignal): Promise<OpenLog> {
  // The client takes long to load, and most cores do not need it.
  const { EventStoreLog } = await import('../eventlog/eventstore/eventstore-log.js');
  signal?.throwIfAborted();
  const log = await EventStoreLog.open(address, logger, signal);
  return { log, lease: (name) => log.lease(name) };
}

/**
 * Gives the log a new id and returns it: positions handed out before are refused from then on. This is for a log that has
 * lost events, whose positions must not be taken for the positions of later events. @throws LogError
 */
export async function renameLog(config: Config, logger: Logger): Promise<string> {
  const { eventStore } = config;
  if (eventStore === undefined) return renewLogId(corePaths(config.dataDir).log);
  const { EventStoreLog } = await import('../eventlog/eventstore/eventstore-log.js');
  return EventStoreLog.rename(eventStore, logger);
}
