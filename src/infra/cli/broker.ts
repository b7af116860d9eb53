import { readFile } from 'node:fs/promises';
import pino from 'pino';
import { PolicyError, readQuorumPolicy } from '../offgrid/broker/policy.js';
import type { QuorumPolicies } from '../offgrid/broker/quorum.js';
import { startBroker } from '../offgrid/broker/server.js';
import { StoreError } from '../offgrid/broker/store-file.js';
import { systemClock } from '../platform/clock.js';
import { CliError } from './errors.js';
import { stopInTime, stopSignal } from './stop.js';

/** How `sheratan broker` runs its broker. */
export interface RunBrokerOptions {
  readonly dataDir: string;
  readonly name: string;
  readonly bind: string;
  readonly port: number;
  readonly authKey: string;
  /** A quorum policy as JSON, or the path of a file with one; without it every node has weight 1. */
  readonly policy: string | undefined;
  readonly logLevel: string;
}

/** Runs a broker until a signal stops it (SIGINT, SIGTERM). Resolves with the exit code. @throws CliError */
export async function runBroker(options: RunBrokerOptions, print: (line: string) => void): Promise<number> {
  const { policy, logLevel, ...rest } = options;
  const logger = pino({ level: logLevel, base: { process: options.name } });
  const stopped = stopSignal();
  const policies = policy === undefined ? undefined : await readPolicy(policy);
  const broker = await startBroker({ ...rest, policy: policies, clock: systemClock, logger }).catch(refusal);
  print(`Broker is at ${broker.url}`);
  await stopInTime(stopped, logger, () => broker.close());
  return 0;
}

async function readPolicy(given: string): Promise<QuorumPolicies> {
  const isText = given.trimStart().startsWith('{');
  try {
    return readQuorumPolicy(isText ? given : await readFile(given, 'utf8'));
  } catch (error) {
    if (error instanceof PolicyError) throw new CliError(isText ? error.message : `${given}: ${error.message}`);
    if (!isText) throw new CliError(`The quorum policy '${given}' cannot be read: ${String(error)}`);
    throw error;
  }
}

/** Makes an error that the operator can correct a CliError. */
function refusal(error: unknown): never {
  throw error instanceof StoreError ? new CliError(error.message) : error;
}
