import type { SecureContext } from 'node:tls';
import { CertificateError, secureContextOf } from './certificates.js';

/** A server or cluster, read from a connection string. */
export interface ServerAddress {
  readonly hosts: readonly Host[];
  /** Whether the hosts are asked for the nodes of their cluster. */
  readonly isCluster: boolean;
  /** The address for messages, without user and password. */
  readonly shown: string;
  /** The prefix of every stream's name on the server, so that several installations can share it; empty by default. */
  readonly streamPrefix: string;
  /** What TLS connections are made with; undefined if there is to be no TLS. */
  readonly tls: SecureContext | undefined;
  /** Whether a certificate of the user is presented. */
  readonly hasUserCertificate: boolean;
  /** Undefined if none is given, or without TLS, because it would be readable on the network. */
  readonly login: Login | undefined;
  readonly discovery: Discovery;
  readonly connectionName: string;
  /** When a ping is sent on an idle connection, in milliseconds; −1 for never. */
  readonly keepAliveIntervalMs: number;
  /** How long its answer may take, in milliseconds; −1 for any time. */
  readonly keepAliveTimeoutMs: number;
  /** The client's limit on calls that have no other, in milliseconds. */
  readonly deadlineMs: number;
}

/** A user of the server. */
export interface Login {
  readonly username: string;
  readonly password: string;
}

/** How a node of a cluster is found. */
export interface Discovery {
  /** The kind of node to connect to, if there is one. */
  readonly preference: 'leader' | 'follower' | 'random' | 'readonlyreplica';
  /** How often the hosts are asked. */
  readonly attempts: number;
  /** The pause between two attempts, in milliseconds. */
  readonly intervalMs: number;
  /** How long a host may take to answer, in milliseconds. */
  readonly timeoutMs: number;
}

/** One host of a connection string. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** The name of a node in messages, and as a target of gRPC. */
export function nameOf({ host, port }: Host): string {
  return `${host}:${port}`;
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

/** The hosts of a cluster are asked once, and not for long: every call is retried as a whole. Values are in the units of the string. */
const DEFAULTS = {
  tls: 'true',
  streamPrefix: '',
  connectionName: 'sheratan',
  nodePreference: 'leader',
  maxDiscoverAttempts: '1',
  discoveryInterval: '100',
  gossipTimeout: '2',
  keepAliveInterval: '10000',
  keepAliveTimeout: '10000',
  defaultDeadline: '10000',
};

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
  const given = Object.fromEntries(options) as Partial<Record<keyof typeof DEFAULTS | FileOption, string>>;
  const values = { ...DEFAULTS, ...given };
  const isSecure = values.tls === 'true';
  const { tlsCAFile, userCertFile, userKeyFile } = values;
  if ((userCertFile === undefined) !== (userKeyFile === undefined)) {
    throw new AddressError('has only one of userCertFile and userKeyFile; give both or neither');
  }
  const context = readFiles({ tlsCAFile, userCertFile, userKeyFile });
  const user = login === undefined ? undefined : readLogin(login);
  const shownHosts = hosts.map(nameOf).join(',');
  return {
    hosts,
    isCluster: discover !== '' || hosts.length > 1,
    shown: `esdb${discover}://${shownHosts}`,
    streamPrefix: values.streamPrefix,
    tls: isSecure ? context : undefined,
    hasUserCertificate: isSecure && userCertFile !== undefined,
    login: isSecure ? user : undefined,
    discovery: {
      preference: values.nodePreference.toLowerCase().replaceAll('_', '') as Discovery['preference'],
      attempts: Number(values.maxDiscoverAttempts),
      intervalMs: Number(values.discoveryInterval),
      timeoutMs: Number(values.gossipTimeout) * 1_000,
    },
    connectionName: values.connectionName,
    keepAliveIntervalMs: Number(values.keepAliveInterval),
    keepAliveTimeoutMs: Number(values.keepAliveTimeout),
    deadlineMs: Number(values.defaultDeadline),
  };
}

type FileOption = 'tlsCAFile' | 'userCertFile' | 'userKeyFile';

/** Reads the files of certificates, also if there is to be no TLS: a wrong name is an error in any case. @throws AddressError */
function readFiles(files: Readonly<Record<FileOption, string | undefined>>): SecureContext {
  try {
    return secureContextOf(files);
  } catch (error) {
    if (error instanceof CertificateError) throw new AddressError(error.message);
    throw error;
  }
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

/** Reads `user:password`, each percent-encoded where needed; a password may contain colons. @throws AddressError */
function readLogin(login: string): Login {
  const colon = login.indexOf(':');
  const [user, password] = [login.slice(0, Math.max(colon, 0)), login.slice(colon + 1)];
  if (user === '' || password === '' || user.includes(','))
    throw new AddressError(`must be ${FORM}; the text before the @ is not user:password`);
  try {
    return { username: decodeURIComponent(user), password: decodeURIComponent(password) };
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
