import { existsSync } from 'node:fs';

/** A server or cluster, read from a connection string. */
export interface ServerAddress {
  /** The connection string for the client, without Sheratan's own options. */
  readonly clientUrl: string;
  /** The prefix of every stream's name on the server, so that several installations can share it; empty by default. */
  readonly streamPrefix: string;
  readonly hosts: readonly Host[];
  /** Whether the client asks the hosts for the nodes of their cluster. */
  readonly isCluster: boolean;
  readonly tls: boolean;
  /** The file with the certificate of the authority that signed the server's certificate. */
  readonly tlsCAFile: string | undefined;
  /** The address for messages, without user and password. */
  readonly shown: string;
}

/** One host of a connection string. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** A connection string is invalid. The message is a predicate (`must be …`, `has …`) and does not repeat secrets. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

const FORM = 'esdb://[user:password@]host[:port][,host…][?tls=false&…]';
const SYNTAX = /^(?:esdb|kurrentdb|kdb)(\+discover)?:\/\/(?:([^@/?]*)@)?([^@/?]+)\/?(?:\?(.*))?$/;
/** The client takes the first colon of a host as the start of its port, so an IPv6 address is only usable by a name. */
const HOST = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/;
const STREAM_PREFIX = /^[a-z0-9_.]{1,32}$/;
const DEFAULT_PORT = 2113;

/**
 * The client's defaults for finding the leader of a cluster. Sheratan retries every call itself, while the client would keep
 * looking long after the caller has given up; and one node that does not answer must not use up all of the time.
 */
const DISCOVERY = { maxDiscoverAttempts: '1', gossipTimeout: '2' };

/** Options whose value is the name of a file. */
const FILES = ['tlsCAFile', 'userCertFile', 'userKeyFile'];

const FLAG = /^(true|false)$/;
const NUMBER = /^\d{1,9}$/;
const INTERVAL = /^(-1|\d{1,9})$/;
const POSITIVE = /^[1-9]\d{0,8}$/;
const ANY = /./;
/** The options that may follow the `?`, as the client and its siblings spell them, and the form of their values. */
const OPTIONS: ReadonlyMap<string, { readonly name: string; readonly form: RegExp; readonly must: string }> = new Map(
  (
    [
      ['tls', FLAG, 'true or false'],
      ['tlsCAFile', ANY, 'a file'],
      ['userCertFile', ANY, 'a file'],
      ['userKeyFile', ANY, 'a file'],
      ['connectionName', ANY, 'a name'],
      [
        'nodePreference',
        /^(leader|follower|random|read_?only_?replica)$/i,
        'leader, follower, random or readonlyreplica',
      ],
      ['maxDiscoverAttempts', POSITIVE, 'a number from 1'],
      ['discoveryInterval', NUMBER, 'a number of milliseconds'],
      ['gossipTimeout', NUMBER, 'a number of seconds'],
      ['keepAliveInterval', INTERVAL, 'a number of milliseconds, or -1 for none'],
      ['keepAliveTimeout', INTERVAL, 'a number of milliseconds, or -1 for none'],
      ['defaultDeadline', POSITIVE, 'a number of milliseconds from 1'],
      ['streamPrefix', STREAM_PREFIX, '1–32 characters of a–z 0–9 _ .'],
    ] as const
  ).map(([name, form, must]) => [name.toLowerCase(), { name, form, must }]),
);

/** Whether a text has the form of a connection string (and not of a path). */
export function isAddress(text: string): boolean {
  return /^[a-z]+(\+discover)?:\/\//.test(text);
}

/**
 * Reads a connection string of EventStoreDB or KurrentDB: `esdb://`, `kurrentdb://` or `kdb://`, `+discover` for DNS
 * discovery, and Sheratan's own option `streamPrefix`. It refuses anything that the client would ignore or misread.
 * @throws AddressError
 */
export function readAddress(text: string): ServerAddress {
  const match = SYNTAX.exec(text.trim());
  if (match === null) throw new AddressError(`must be ${FORM}`);
  const [, discover = '', login, hostList = '', query = ''] = match;
  const hosts = hostList.split(',').map(readHost);
  if (discover !== '' && hosts.length > 1)
    throw new AddressError('has +discover and several hosts; +discover needs exactly one name');
  const options = readOptions(query);
  const { streamPrefix = '', tls = 'true', tlsCAFile, ...others } = Object.fromEntries(options);
  const isSecure = tls === 'true';
  if (options.has('userCertFile') !== options.has('userKeyFile')) {
    throw new AddressError('has only one of userCertFile and userKeyFile; give both or neither');
  }
  for (const name of FILES) {
    const file = options.get(name);
    if (file !== undefined && !existsSync(file))
      throw new AddressError(`has ${name}='${file}'; the file does not exist`);
  }
  const credentials = login === undefined ? '' : readLogin(login);
  const isCluster = discover !== '' || hosts.length > 1;
  const defaults = { connectionName: 'sheratan', ...(isCluster && DISCOVERY) };
  const params = new Map<string, string>(Object.entries({ ...defaults, ...others, tls }));
  if (isSecure && tlsCAFile !== undefined) params.set('tlsCAFile', tlsCAFile);
  const encoded = [...params].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  const shownHosts = hosts.map(({ host, port }) => `${host}:${port}`).join(',');
  return {
    // Without TLS the client would not send the credentials.
    clientUrl: `esdb${discover}://${isSecure ? credentials : ''}${shownHosts}?${encoded}`,
    streamPrefix,
    hosts,
    isCluster,
    tls: isSecure,
    tlsCAFile: isSecure ? tlsCAFile : undefined,
    shown: `esdb${discover}://${shownHosts}`,
  };
}

function readHost(text: string): Host {
  const match = HOST.exec(text.trim());
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    // The text after the colon may be a password.
    throw new AddressError(`must be ${FORM}; '${text.replace(/:.*/s, ':…')}' is not host[:port]`);
  }
  return { host: match[1], port };
}

/** Encodes user and password: the client takes a colon in a password as its end unless it is encoded. */
function readLogin(login: string): string {
  const colon = login.indexOf(':');
  const [user, password] = [login.slice(0, Math.max(colon, 0)), login.slice(colon + 1)];
  if (user === '' || password === '' || user.includes(','))
    throw new AddressError(`must be ${FORM}; the text before the @ is not user:password`);
  try {
    return `${[user, password].map((part) => encodeURIComponent(decodeURIComponent(part))).join(':')}@`;
  } catch {
    throw new AddressError('has a user or password that is not percent-encoded; write a % in it as %25');
  }
}

function readOptions(query: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const pair of query === '' ? [] : query.split('&')) {
    const equals = pair.indexOf('=');
    const key = pair.slice(0, Math.max(equals, 0));
    const normal = key.toLowerCase().replaceAll(/[_-]/g, '');
    if (normal === 'tlsverifycert') {
      if (pair.endsWith('=true')) continue;
      throw new AddressError(
        'has tlsVerifyCert=false, which is not supported; give the certificate of the authority with tlsCAFile=',
      );
    }
    const option = OPTIONS.get(normal);
    if (option === undefined) {
      const known = Array.from(OPTIONS.values(), ({ name }) => name);
      // Any other text may be the end of a password.
      const named = /^\w+$/.test(key || pair) ? `the unknown option '${key || pair}'` : 'an unknown option';
      throw new AddressError(`has ${named}; the options are ${known.join(', ')}`);
    }
    if (options.has(option.name)) throw new AddressError(`has ${option.name} twice`);
    const value = decoded(pair.slice(equals + 1));
    if (!option.form.test(value)) throw new AddressError(`has ${option.name}='${value}'; it must be ${option.must}`);
    options.set(option.name, value);
  }
  return options;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
