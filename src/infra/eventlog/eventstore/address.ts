import { existsSync } from 'node:fs';

/** A server, or a cluster of them, as a connection string names it. */
export interface ServerAddress {
  /** The connection string for the client, without what is meant for us. */
  readonly clientUrl: string;
  /** What every stream's name begins with there, so that several installations can share a server; often nothing. */
  readonly streamPrefix: string;
  readonly hosts: readonly Host[];
  /** The hosts are asked for the members of their cluster. */
  readonly isCluster: boolean;
  readonly tls: boolean;
  /** File with the certificate of the authority that signed the server's. */
  readonly tlsCAFile: string | undefined;
  /** For people: without name and password. */
  readonly shown: string;
}

export interface Host {
  readonly host: string;
  readonly port: number;
}

/** A connection string is not as it must be. Secrets in it are not repeated. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

const FORM = 'esdb://[user:password@]host[:port][,host…][?tls=false&…]';
const SYNTAX = /^(?:esdb|kurrentdb|kdb)(\+discover)?:\/\/(?:([^@/?]*)@)?([^@/?]+)\/?(?:\?(.*))?$/;
/** The client takes the first colon of a host for the one before its port, so an IPv6 address needs a name. */
const HOST = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/;
const STREAM_PREFIX = /^[a-z0-9_.]{1,32}$/;
const DEFAULT_PORT = 2113;

/**
 * How the leader of a cluster is looked for unless told. All is tried again anyway, and the client goes on looking long
 * after nobody wants to know; and a node that does not answer must not take all the time there is.
 */
const DISCOVERY = { maxDiscoverAttempts: '1', gossipTimeout: '2' };

/** Options that name a file. */
const FILES = ['tlsCAFile', 'userCertFile', 'userKeyFile'];

const FLAG = /^(true|false)$/;
const NUMBER = /^\d{1,9}$/;
const INTERVAL = /^(-1|\d{1,9})$/;
const POSITIVE = /^[1-9]\d{0,8}$/;
const ANY = /./;
/** What may follow the `?`, as the client and its siblings spell it, and what its values look like. */
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
      ['streamPrefix', STREAM_PREFIX, '1–32 of a–z 0–9 _ .'],
    ] as const
  ).map(([name, form, must]) => [name.toLowerCase(), { name, form, must }]),
);

/** Whether a text is meant as a connection string. */
export function isAddress(text: string): boolean {
  return /^[a-z]+(\+discover)?:\/\//.test(text);
}

/**
 * Reads a connection string of EventStoreDB or KurrentDB: `esdb://` or `kurrentdb://`, `+discover` for DNS discovery, and
 * one option of ours, `streamPrefix`. What the client would pass over or misread is refused. @throws AddressError
 */
export function readAddress(text: string): ServerAddress {
  const match = SYNTAX.exec(text.trim());
  if (match === null) throw new AddressError(`must be ${FORM}`);
  const [, discover = '', login, hostList = '', query = ''] = match;
  const hosts = hostList.split(',').map(readHost);
  if (discover !== '' && hosts.length > 1) throw new AddressError('has +discover and several hosts; it takes one name');
  const options = readOptions(query);
  const { streamPrefix = '', tls = 'true', tlsCAFile, ...others } = Object.fromEntries(options);
  const isSecure = tls === 'true';
  if (options.has('userCertFile') !== options.has('userKeyFile')) {
    throw new AddressError('has one of userCertFile and userKeyFile; both must be given, or none');
  }
  for (const name of FILES) {
    const file = options.get(name);
    if (file !== undefined && !existsSync(file)) throw new AddressError(`has ${name}='${file}'; there is no such file`);
  }
  const credentials = login === undefined ? '' : readLogin(login);
  const isCluster = discover !== '' || hosts.length > 1;
  const defaults = { connectionName: 'sheratan', ...(isCluster && DISCOVERY) };
  const params = new Map<string, string>(Object.entries({ ...defaults, ...others, tls }));
  if (isSecure && tlsCAFile !== undefined) params.set('tlsCAFile', tlsCAFile);
  const encoded = [...params].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  const shownHosts = hosts.map(({ host, port }) => `${host}:${port}`).join(',');
  return {
    // Without TLS the client sends no credentials anyway.
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
    // What is after the colon may be a password.
    throw new AddressError(`must be ${FORM}; '${text.replace(/:.*/s, ':…')}' is no host[:port]`);
  }
  return { host: match[1], port };
}

/** The client takes the first colon of a password for its end, unless it is encoded. */
function readLogin(login: string): string {
  const colon = login.indexOf(':');
  const [user, password] = [login.slice(0, Math.max(colon, 0)), login.slice(colon + 1)];
  if (user === '' || password === '' || user.includes(','))
    throw new AddressError(`must be ${FORM}; what is before the @ is no user:password`);
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
      throw new AddressError('has tlsVerifyCert=false, which the client cannot do; name the authority with tlsCAFile=');
    }
    const option = OPTIONS.get(normal);
    if (option === undefined) {
      const known = Array.from(OPTIONS.values(), ({ name }) => name);
      // Anything else may be the end of a password.
      const named = /^\w+$/.test(key || pair) ? `the option '${key || pair}',` : 'an option';
      throw new AddressError(`has ${named} which is none of ${known.join(', ')}`);
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
