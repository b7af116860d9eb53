import { randomBytes } from 'node:crypto';
import { type Config, readConfig } from '../../src/infra/app/config.js';
import { systemClock } from '../../src/infra/platform/clock.js';
import type { EventLog } from '../../src/infra/eventlog/eventlog.js';
import { openLog } from '../../src/infra/app/open-log.js';
import { StandIn, type StandInOptions } from './eventstore/stand-in.js';
import { quiet } from './quiet.js';

/** The server that EVENTSTORE_URL names: tests that can do with a real one are run on it, and on a stand-in otherwise. */
export const REAL_SERVER = process.env['EVENTSTORE_URL'] ?? '';

/** What the tests' server takes at a time, in bytes; a real one is set up for the same. */
const MAX_APPEND_SIZE = 16 * 1024 * 1024;

/** An EventStoreDB server to test with. */
export interface LogServer {
  /** What it is, for people. */
  readonly name: string;
  /** A connection string for a log that is new. */
  newLogUrl(): string;
  stop(): Promise<void>;
}

/** A real server when the environment names one, a stand-in otherwise. */
export async function logServer(): Promise<LogServer> {
  if (REAL_SERVER !== '') {
    const name = readConfig({ EVENTSTORE_URL: REAL_SERVER }).eventStore?.shown ?? '';
    return { name, newLogUrl: () => apart(REAL_SERVER), stop: () => Promise.resolve() };
  }
  const standIn = await startStandIn();
  return { name: 'a stand-in', newLogUrl: () => apart(standIn.url), stop: () => standIn.stop() };
}

/** A stand-in that takes appends as large as the log does. */
export function startStandIn(options: StandInOptions = {}): Promise<StandIn> {
  return StandIn.start({ maxAppendSize: MAX_APPEND_SIZE, ...options });
}

/** A connection string for a log of its own on a server. */
export function apart(url: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}streamPrefix=t${randomBytes(6).toString('hex')}.`;
}

/** Where the cores of a data folder have their log: in it, unless the environment says that tests are run on a server. */
export function logOf(dataDir: string): Readonly<Record<string, string>> {
  if (REAL_SERVER === '') return {};
  let url = urls.get(dataDir);
  if (url === undefined) {
    url = apart(REAL_SERVER);
    urls.set(dataDir, url);
  }
  return { EVENTSTORE_URL: url };
}

const urls = new Map<string, string>();

/** Opens the log of a data folder's cores, or another that `env` names. */
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
