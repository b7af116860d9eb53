import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../clock.js';
import { assertOwnAuthKey, type Config } from '../config.js';
import { isLoopback } from '../http/loopback.js';
import { startHost } from '../offgrid/host/server.js';
import { CliError } from './errors.js';
import { stopInTime, stopSignal } from './stop.js';

/** Runs a storage host until it is told to stop. Resolves with the exit code. */
export async function runHost(
  config: Config,
  { name, port }: { readonly name: string; readonly port: number },
  print: (line: string) => void,
): Promise<number> {
  if (!isLoopback(config.bind)) assertOwnAuthKey(config.offgrid);
  const logger = pino({ level: config.logLevel, base: { process: name } });
  const stopped = stopSignal();
  const { authKey, hostBudgetBytes: budgetBytes, chunkThreshold } = config.offgrid;
  const folder = join(config.dataDir, name);
  const options = { name, bind: config.bind, port, authKey, budgetBytes, chunkThreshold };
  const host = await startHost({ ...options, folder, clock: systemClock, logger }).catch((error: unknown) => {
    throw error instanceof Error && !('code' in error) ? new CliError(error.message) : error;
  });
  print(`Host ${name} is at ${host.url}\n  fingerprint ${host.identity.id}\n  data        ${folder}`);
  await stopInTime(stopped, logger, () => host.close());
  return 0;
}
