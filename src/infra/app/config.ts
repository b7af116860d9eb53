import { z } from 'zod';
import { majorityOf } from '../../domain/replication.js';
import { ROLES, type ApiToken } from '../access/auth.js';
import { AddressError, readAddress, type ServerAddress } from '../eventlog/eventstore/address.js';
import {
  DEFAULT_AUTH_KEY,
  isHttpUrl,
  isLocalUrl,
  isOrigin,
  readHostKey,
  readHosts,
  readOrigins,
  type OffgridSettings,
} from '../offgrid/protocol/settings.js';
import { isLoopback } from '../platform/loopback.js';

/** The configuration of a node, parsed once from environment variables and frozen. */
export interface Config {
  /** The folder that holds state, with one folder below it for each process. */
  readonly dataDir: string;
  /** The server that holds the log; without one it is a file in `dataDir`. */
  readonly eventStore: ServerAddress | undefined;
  readonly bind: string;
  readonly port: number;
  readonly apiTokens: readonly ApiToken[];
  /** Whether clients may query the schema; by default only on loopback. */
  readonly introspection: boolean;
  readonly logLevel: string;
  readonly offgrid: OffgridSettings;
}

/** A setting is invalid. The message is one line: the variable, its value, what it must be. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
/** The least length of an API token, in characters. */
const MIN_TOKEN_LENGTH = 16;
/** The least length of OFFGRID_AUTH_KEY beyond loopback, in characters. */
const MIN_AUTH_KEY_LENGTH = 16;
const TOKEN = new RegExp(`^[A-Za-z0-9._~+/=-]{${MIN_TOKEN_LENGTH},200}$`);

const schema = z.object({
  SHERATAN_DATA_DIR: z.string().min(1, 'must be a folder').default('./data'),
  SHERATAN_EVENTSTORE_URL: z.string().transform(readServer).optional(),
  SHERATAN_BIND: z
    .string()
    .regex(/^[A-Za-z0-9.:-]+$/, 'must be an address or a host name')
    .default('127.0.0.1'),
  SHERATAN_PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port: 0–65535')
    .transform(Number)
    .refine((port) => port <= 65_535, 'must be a port: 0–65535')
    .default(8001),
  SHERATAN_API_TOKENS: z.string().transform(readTokens).default([]),
  SHERATAN_INTROSPECTION: z.enum(['true', 'false'], 'must be true or false').optional(),
  SHERATAN_ORIGIN: z
    .string()
    .refine(isOrigin, 'must be 1–64 letters, digits, dots, hyphens or underscores')
    .default('core-v2'),
  SHERATAN_KEY_PASSPHRASE: z.string().min(8, 'must have at least 8 characters').optional(),
  SHERATAN_REPLICATED_TIMEOUT: seconds(0.001, 600).default(10),
  OFFGRID_STORAGE_ENABLED: z.enum(['true', 'false'], 'must be true or false').default('true'),
  OFFGRID_STORAGE_HOSTS: z
    .string()
    .transform(readBy(readHosts))
    .default(readHosts('http://127.0.0.1:8081,http://127.0.0.1:8082')),
  OFFGRID_BROKER_URL: z.string().refine(isHttpUrl, 'must be http(s)://host:port').default('http://127.0.0.1:9000'),
  OFFGRID_AUTH_KEY: z.string().default(DEFAULT_AUTH_KEY),
  OFFGRID_HOST_KEY: z.string().transform(readBy(readHostKey)).optional(),
  OFFGRID_ORIGINS: z.string().transform(readBy(readOrigins)).default(new Map()),
  OFFGRID_REQUIRED_ACKS: wholeNumber(1, 32_000).optional(),
  OFFGRID_ALLOW_MINORITY: z.enum(['true', 'false'], 'must be true or false').default('false'),
  OFFGRID_DISHONEST_WEIGHT: wholeNumber(0, 32_000).default(0),
  OFFGRID_CHUNK_THRESHOLD: wholeNumber(0, 1024 * 1024).default(1_024),
  OFFGRID_HOST_BUDGET_MB: wholeNumber(1, 1024 * 1024).default(1_024),
  SHERATAN_LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
});

/**
 * The earlier name of SHERATAN_EVENTSTORE_URL. A server reads each variable that begins like this as a setting of its own, and ends
 * because it does not know this one.
 */
const EARLIER_NAME = 'EVENTSTORE_URL';

/** Secrets are named in errors, never shown. */
const SECRETS = new Set([
  'SHERATAN_API_TOKENS',
  'SHERATAN_EVENTSTORE_URL',
  'SHERATAN_KEY_PASSPHRASE',
  'OFFGRID_AUTH_KEY',
  'OFFGRID_HOST_KEY',
]);

/** Reads the configuration from environment variables; empty ones count as unset. @throws ConfigError */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const hasEarlierName = !('SHERATAN_EVENTSTORE_URL' in set) && EARLIER_NAME in set;
  if (hasEarlierName) set['SHERATAN_EVENTSTORE_URL'] = set[EARLIER_NAME];
  const parsed = schema.safeParse(set);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const name = String(issue?.path[0] ?? 'the environment');
    const was = SECRETS.has(name) ? 'it' : `'${String(set[name])}'`;
    const shown = hasEarlierName && name === 'SHERATAN_EVENTSTORE_URL' ? EARLIER_NAME : name;
    throw new ConfigError(`${shown}: ${was} ${issue?.message ?? 'is invalid'}`);
  }
  const values = parsed.data;
  const isLocal = isLoopback(values.SHERATAN_BIND);
  const { SHERATAN_INTROSPECTION: introspection } = values;
  const offgrid = offgridSettings(values);
  assertAuthKeyFor([...offgrid.hosts.map(({ url }) => url), offgrid.brokerUrl], offgrid);
  return Object.freeze({
    dataDir: values.SHERATAN_DATA_DIR,
    eventStore: values.SHERATAN_EVENTSTORE_URL,
    bind: values.SHERATAN_BIND,
    port: values.SHERATAN_PORT,
    apiTokens: values.SHERATAN_API_TOKENS,
    introspection: introspection === undefined ? isLocal : introspection === 'true',
    logLevel: values.SHERATAN_LOG_LEVEL,
    offgrid,
  });
}

/** Beyond loopback a core needs API tokens. @throws ConfigError */
export function assertTokens({ bind, apiTokens }: Pick<Config, 'bind' | 'apiTokens'>): void {
  if (isLoopback(bind) || apiTokens.length > 0) return;
  throw new ConfigError(
    `SHERATAN_API_TOKENS: must be set (token:role[,…], roles ${ROLES.join(', ')}) because SHERATAN_BIND is beyond loopback: '${bind}'`,
  );
}

/** @throws ConfigError when one of these URLs is beyond loopback and the key may not be used there */
export function assertAuthKeyFor(urls: readonly string[], offgrid: OffgridSettings): void {
  if (!urls.every(isLocalUrl)) assertOwnAuthKey(offgrid);
}

/** Beyond loopback the key must be secret, and too long to guess. @throws ConfigError */
export function assertOwnAuthKey({ authKey }: OffgridSettings): void {
  if (authKey === DEFAULT_AUTH_KEY)
    throw new ConfigError(
      'OFFGRID_AUTH_KEY: must be set to the same secret for core, hosts and broker when any of them is beyond loopback; the default key is public',
    );
  if (authKey.length < MIN_AUTH_KEY_LENGTH)
    throw new ConfigError(
      `OFFGRID_AUTH_KEY: must have at least ${MIN_AUTH_KEY_LENGTH} characters beyond loopback: a shorter key can be guessed from one recorded request`,
    );
}

function offgridSettings(values: z.infer<typeof schema>): OffgridSettings {
  const { OFFGRID_STORAGE_HOSTS: hosts, OFFGRID_REQUIRED_ACKS: requiredAcks } = values;
  const weight = hosts.reduce((sum, host) => sum + host.weight, 0);
  if (requiredAcks !== undefined && requiredAcks > weight) {
    throw new ConfigError(
      `OFFGRID_REQUIRED_ACKS: '${requiredAcks}' must be at most the weight of all OFFGRID_STORAGE_HOSTS, ${weight}`,
    );
  }
  const allowsMinority = values.OFFGRID_ALLOW_MINORITY === 'true';
  if (requiredAcks !== undefined && requiredAcks <= weight / 2 && !allowsMinority) {
    throw new ConfigError(
      `OFFGRID_REQUIRED_ACKS: '${requiredAcks}' must be more than half of the weight of all OFFGRID_STORAGE_HOSTS, ${weight}: otherwise two groups of hosts could sign two different histories. Raise it, or permit this with OFFGRID_ALLOW_MINORITY=true`,
    );
  }
  const dishonestWeight = values.OFFGRID_DISHONEST_WEIGHT;
  const required = requiredAcks ?? majorityOf(weight);
  if (dishonestWeight >= required) {
    throw new ConfigError(
      `OFFGRID_DISHONEST_WEIGHT: '${dishonestWeight}' must be less than the weight that must sign, ${required}: otherwise the hosts could never prove that nothing is missing`,
    );
  }
  return {
    enabled: values.OFFGRID_STORAGE_ENABLED === 'true',
    origin: values.SHERATAN_ORIGIN,
    hosts,
    brokerUrl: values.OFFGRID_BROKER_URL,
    authKey: values.OFFGRID_AUTH_KEY,
    hostKey: values.OFFGRID_HOST_KEY,
    origins: values.OFFGRID_ORIGINS,
    requiredAcks,
    dishonestWeight,
    keyPassphrase: values.SHERATAN_KEY_PASSPHRASE,
    replicatedTimeoutMs: values.SHERATAN_REPLICATED_TIMEOUT * 1_000,
    chunkThreshold: values.OFFGRID_CHUNK_THRESHOLD,
    hostBudgetBytes: values.OFFGRID_HOST_BUDGET_MB * 1024 * 1024,
  };
}

function wholeNumber(min: number, max: number) {
  const message = `must be a whole number, ${min}–${max}`;
  return z
    .string()
    .regex(/^\d{1,12}$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message);
}

function seconds(min: number, max: number) {
  const message = `must be seconds, ${min}–${max}`;
  return z
    .string()
    .regex(/^\d{1,6}(\.\d{1,3})?$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message);
}

/** Makes a reader of texts a transform of the schema: the message of what it throws becomes the issue. */
function readBy<T>(read: (text: string) => T): (text: string, context: z.RefinementCtx) => T {
  return (text, context) => {
    try {
      return read(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'is invalid' });
      return z.NEVER;
    }
  };
}

function readServer(text: string, context: z.RefinementCtx): ServerAddress {
  try {
    return readAddress(text);
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
    return z.NEVER;
  }
}

function readTokens(text: string, context: z.RefinementCtx): ApiToken[] {
  return text.split(',').flatMap((entry) => {
    const colon = entry.lastIndexOf(':');
    const token = entry.slice(0, colon).trim();
    const role = ROLES.find((known) => known === entry.slice(colon + 1).trim());
    if (role !== undefined && TOKEN.test(token)) return [{ token, role }];
    const message = `must be token:role[,…]: tokens of ${MIN_TOKEN_LENGTH}–200 letters, digits or . _ ~ + / = -, roles ${ROLES.join(', ')}`;
    context.addIssue({ code: 'custom', message });
    return [];
  });
}
