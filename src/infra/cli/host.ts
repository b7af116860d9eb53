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

/** Runs a storage host until it is told to stop. Resolves with the exit code. */
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
  // A host that was given its own key alone is known to no broker.
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

/** Which origin of which host's folder is meant. */
export interface OfHost {
  readonly name: string;
  readonly origin: string;
}

/** `sheratan host reset-key`: the next to claim the name there pins his key. */
export function runResetKey({ name, origin }: OfHost, config: Config, print: (line: string) => void): Promise<number> {
  return maintain(origin, async () => {
    const key = await resetKey(join(config.dataDir, name), origin);
    print(`The key ${toHex(key)} is no longer pinned for '${origin}' at ${name}: the next to claim it pins another.`);
    print('What was kept under it stays as evidence. To free the room: sheratan host drop-evidence.');
  });
}

/** `sheratan host drop-evidence`: frees what was set aside. */
export function runDropEvidence(
  { name, origin }: OfHost,
  config: Config,
  print: (line: string) => void,
): Promise<number> {
  return maintain(origin, async () => {
    const { events, bytes } = await dropEvidence(join(config.dataDir, name), origin);
    print(`${events} events of '${origin}' that were set aside are dropped at ${name}: ${bytes} bytes are free again.`);
  });
}

async function maintain(origin: string, work: () => Promise<void>): Promise<number> {
  if (!isOrigin(origin)) throw new CliError(`--origin: '${origin}' is not the name of an origin`);
  try {
    await work();
    return 0;
  } catch (error) {
    throw error instanceof MaintenanceError ? new CliError(error.message) : error;
  }
}
