import { randomBytes } from 'node:crypto';
import { type Config, readConfig } from '../../src/infra/app/config.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import type { EventLog } from '../../src/infra/eventlog/eventlog.js';
import { openLog } from '../../src/infra/app/open-log.js';
import { StandIn, type StandInOptions } from './eventstore/stand-in.js';
import { quiet } from './quiet.js';

/** The real server that SHERATAN_EVENTSTORE_URL names, for the tests that can use one; without it they use a stand-in. */
export const REAL_SERVER = process.env['SHERATAN_EVENTSTORE_URL'] ?? '';

/** The largest append that the tests' server takes, in bytes; a real one is set up with the same limit. */
const MAX_APPEND_SIZE = 16 * 1024 * 1024;

/** An EventStoreDB server to test with. */
export interface LogServer {
  /** Its name, for people. */
  readonly name: string;
  /** A connection string for a new log. */
  newLogUrl(): string;
  stop(): Promise<void>;
}

/** The versions of the server that stand-ins behave as. */
const VERSIONS = ['24.10.14', '23.10.8'] as const;
type ServerVersion = (typeof VERSIONS)[number];

/** The versions to run tests with: those of stand-ins, or undefined for the one real server. */
export const SERVERS: readonly (ServerVersion | undefined)[] = REAL_SERVER === '' ? VERSIONS : [undefined];

/** A real server when the environment names one, a stand-in otherwise. */
export async function logServer(serverVersion: ServerVersion = VERSIONS[0]): Promise<LogServer> {
  if (REAL_SERVER !== '') {
    const name = readConfig({ SHERATAN_EVENTSTORE_URL: REAL_SERVER }).eventStore?.shown ?? '';
    return { name, newLogUrl: () => apart(REAL_SERVER), stop: () => Promise.resolve() };
  }
  const standIn = await startStandIn({ serverVersion });
  const name = `a stand-in for ${serverVersion}`;
  return { name, newLogUrl: () => apart(standIn.url), stop: () => standIn.stop() };
}

/** A stand-in that takes appends as large as those that the log takes. */
export function startStandIn(options: StandInOptions = {}): Promise<StandIn> {
  return StandIn.start({ maxAppendSize: MAX_APPEND_SIZE, ...options });
}

/** A connection string for a log of its own on a server. */
export function apart(url: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}streamPrefix=t${randomBytes(6).toString('hex')}.`;
}

/** The settings of a data folder's log: in the folder, or on the server that SHERATAN_EVENTSTORE_URL names. */
export function logOf(dataDir: string): Readonly<Record<string, string>> {
  if (REAL_SERVER === '') return {};
  let url = urls.get(dataDir);
  if (url === undefined) {
    url = apart(REAL_SERVER);
    urls.set(dataDir, url);
  }
  return { SHERATAN_EVENTSTORE_URL: url };
}

const urls = new Map<string, string>();

/** Opens the log of a data folder's cores, or another one that `env` names. */
export async function withLogOf<R>(
  dataDir: string,
  env: Readonly<Record<string, string>>,
  use: (log: EventLog) => Promise<R>,
): Promise<R> {
  const config: Config = readConfig({ SHERATAN_DATA_DIR: dataDir, ...logOf(dataDir), ...env });
  const { log } = await openLog(config, systemClock, quiet);
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}
