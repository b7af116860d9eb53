import { access, mkdir } from 'node:fs/promises';
import type { Config } from '../app/config.js';
import { openLog } from '../app/open-log.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { systemClock } from '../platform/clock.js';
import { corePaths } from '../platform/core-paths.js';
import { CliError } from './errors.js';
import { onStderr } from './stderr-logger.js';

/**
 * Opens the log of a configuration for one command, also beside a running core.
 * @param create whether a log is created where there is none
 * @throws CliError, LogError
 */
export async function withLog<R>(config: Config, create: boolean, work: (log: EventLog) => Promise<R>): Promise<R> {
  if (create || config.eventStore !== undefined) await mkdir(corePaths(config.dataDir).folder, { recursive: true });
  if (!create) await assertLog(config);
  const { log } = await openLog(config, systemClock, onStderr('warn'));
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}

/** @throws CliError when the data folder has no log and no server holds it */
export async function assertLog({ dataDir, eventStore }: Config): Promise<void> {
  if (eventStore !== undefined) return;
  const { log } = corePaths(dataDir);
  await access(log).catch(() => {
    throw new CliError(`There is no log at ${log}. Set SHERATAN_DATA_DIR to the folder of a core that has run.`);
  });
}
