import { access, mkdir } from 'node:fs/promises';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { corePaths } from '../core-paths.js';
import { EmbeddedLog } from '../eventlog/embedded.js';
import type { EventLog } from '../eventlog/eventlog.js';
import { CliError } from './errors.js';

/** Opens the log of a data folder for one command, also beside a running core. @param create whether there may be none yet */
export async function withLog<R>(config: Config, create: boolean, work: (log: EventLog) => Promise<R>): Promise<R> {
  const paths = corePaths(config.dataDir);
  if (create) await mkdir(paths.folder, { recursive: true });
  else await assertLog(config);
  const log = await EmbeddedLog.open(paths.log, systemClock);
  try {
    return await work(log);
  } finally {
    await log.close();
  }
}

/** @throws CliError when a data folder has no log */
export async function assertLog(config: Config): Promise<void> {
  const { log } = corePaths(config.dataDir);
  await access(log).catch(() => {
    throw new CliError(`There is no log at ${log}. Set SHERATAN_DATA_DIR to the folder of a core that has run.`);
  });
}
