import { join } from 'node:path';
import pino from 'pino';
import { assertOwnAuthKey, type Config } from '../app/config.js';
import { toHex } from '../crypto/bytes.js';
import { BrokerClient } from '../offgrid/broker/client.js';
import { heartbeat } from '../offgrid/host/heartbeat.js';
import { dropEvidence, MaintenanceError, resetKey } from '../offgrid/host/maintenance.js';
import { startHost } from '../offgrid/host/server.js';
import { DEFAULT_AUTH_KEY, isOrigin } from '../offgrid/protocol/settings.js';
import { systemClock } from '../platform/clock.js';
import { isLoopback } from '../platform/loopback.js';
import { CliError } from './errors.js';
import { stopInTime, stopSignal } from './stop.js';

/** Runs a storage host until a signal stops it. Resolves with the exit code. @throws CliError, ConfigError */
export async function runHost(
  config: Config,
  { name, port }: { readonly name: string; readonly port: number },
  print: (line: string) => void,
): Promise<number> {
  const { authKey, hostKey, brokerUrl, hostBudgetBytes: budgetBytes, chunkThreshold, origins } = config.offgrid;
  if (!isLoopback(config.bind) && hostKey === undefined) assertOwnAuthKey(config.offgrid);
  const logger = pino({ level: config.logLevel, base: { process: name } });
  const stopped = stopSignal();
  const folder = join(config.dataDir, name);
  const keys = { authKey: hostKey ?? authKey, origins };
  const options = { name, bind: config.bind, port, ...keys, budgetBytes, chunkThreshold };
  const host = await startHost({ ...options, folder, clock: systemClock, logger }).catch((error: unknown) => {
    throw error instanceof Error && !('code' in error) ? new CliError(error.message) : error;
  });
  print(`Host ${name} is at ${host.url}\n  fingerprint ${host.identity.id}\n  data        ${folder}`);
  const stopping = new AbortController();
  // Without OFFGRID_AUTH_KEY a host cannot sign what it sends to the broker.
  const isKnown = hostKey === undefined || authKey !== DEFAULT_AUTH_KEY;
  const broker = new BrokerClient({ url: brokerUrl, authKey, clock: systemClock });
  const beating = isKnown ? heartbeat(host, broker, logger, stopping.signal) : Promise.resolve();
  await stopInTime(stopped, logger, async () => {
    stopping.abort();
    await host.close();
    await beating;
  });
  return 0;
}

/** An origin at a host, which is named by its folder in the data folder. */
export interface OfHost {
  readonly name: string;
  readonly origin: string;
}

/** `sheratan host reset-key`: unpins the key of an origin; the next claim of the name pins its own. @throws CliError */
export function runResetKey({ name, origin }: OfHost, config: Config, print: (line: string) => void): Promise<number> {
  return maintain(origin, async () => {
    const key = await resetKey(join(config.dataDir, name), origin);
    print(
      `The key ${toHex(key)} is no longer pinned for '${origin}' at ${name}: the next claim of this name pins its own key.`,
    );
    print('What was kept under it remains as evidence. To free the space, run: sheratan host drop-evidence');
  });
}

/** `sheratan host drop-evidence`: frees the space of what was set aside. @throws CliError */
export function runDropEvidence(
  { name, origin }: OfHost,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  return maintain(origin, async () => {
    const { events, bytes } = await dropEvidence(join(config.dataDir, name), origin);
    print(`${events} events of '${origin}' that were set aside at ${name} are dropped; ${bytes} bytes are free again.`);
  });
}

async function maintain(origin: string, work: () => Promise<void>): Promise<number> {
  if (!isOrigin(origin))
    throw new CliError(`--origin: '${origin}' must be 1–64 letters, digits, dots, hyphens or underscores`);
  try {
    await work();
    return 0;
  } catch (error) {
    throw error instanceof MaintenanceError ? new CliError(error.message) : error;
  }
}
