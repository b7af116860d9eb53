import { join } from 'node:path';
import pino from 'pino';
import { systemClock } from '../clock.js';
import { assertOwnAuthKey, type Config } from '../config.js';
import { isLoopback } from '../http/loopback.js';
import { BrokerClient } from '../offgrid/broker/client.js';
import { heartbeat } from '../offgrid/host/heartbeat.js';
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
  const { authKey, brokerUrl, hostBudgetBytes: budgetBytes, chunkThreshold } = config.offgrid;
  const folder = join(config.dataDir, name);
  const options = { name, bind: config.bind, port, authKey, budgetBytes, chunkThreshold };
  const host = await startHost({ ...options, folder, clock: systemClock, logger }).catch((error: unknown) => {
    throw error instanceof Error && !('code' in error) ? new CliError(error.message) : error;
  });
  print(`Host ${name} is at ${host.url}\n  fingerprint ${host.identity.id}\n  data        ${folder}`);
  const broker = new BrokerClient({ url: brokerUrl, authKey, clock: systemClock });
  const stopping = new AbortController();
  const beating = heartbeat(host, broker, logger, stopping.signal);
  await stopInTime(stopped, logger, async () => {
    stopping.abort();
    await host.close();
    await beating;
  });
  return 0;
}
