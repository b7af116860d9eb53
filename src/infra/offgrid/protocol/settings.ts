import { fromHex } from '../../crypto/bytes.js';
import { isLoopback } from '../../platform/loopback.js';
import type { HostKey } from './authentication.js';
import { FINGERPRINT, ORIGIN, type Origin } from './fields.js';
import { isVerifyKey, type VerifyKey } from './verify-key.js';

/** A host as OFFGRID_STORAGE_HOSTS names it. */
export interface HostAddress {
  readonly url: string;
  /** The fingerprint that the host must have; by default, the fingerprint that it shows at first contact. */
  readonly fingerprint?: string;
  readonly weight: number;
}

/** The replication settings of the core, hosts and broker on one machine. */
export interface OffgridSettings {
  /** Whether the core replicates. */
  readonly enabled: boolean;
  /** The name under which hosts know the core's log. */
  readonly origin: string;
  readonly hosts: readonly HostAddress[];
  readonly brokerUrl: string;
  /** The secret that core, hosts and broker share; it keeps other parties out and proves nothing else. */
  readonly authKey: string;
  /** The key of one host, given to that host instead of `authKey`; it is valid for that host only. */
  readonly hostKey: HostKey | undefined;
  /** The only origins that a host serves, with their keys. If empty, the first claim of a name pins its key. */
  readonly origins: ReadonlyMap<Origin, VerifyKey>;
  /** The weight of hosts that must sign; by default, a majority. */
  readonly requiredAcks: number | undefined;
  /** The weight of hosts that may be dishonest: this much more weight must be heard before anything counts. */
  readonly dishonestWeight: number;
  readonly keyPassphrase: string | undefined;
  /** How long a mutation waits for a quorum, in milliseconds. */
  readonly replicatedTimeoutMs: number;
  /** A host stores contents above this size as files, in bytes. */
  readonly chunkThreshold: number;
  /** The budget of a host: the maximum size of the contents that it keeps, in bytes. */
  readonly hostBudgetBytes: number;
}

/** The default of OFFGRID_AUTH_KEY. It is public, so it is accepted on loopback only. */
export const DEFAULT_AUTH_KEY = 'shared-secret';
/** The form of a key: 32 bytes in hexadecimal. */
const HEX_KEY = /^[0-9a-f]{64}$/;
/** The maximum number of hosts in a policy. */
const MAX_HOSTS = 32;
const MAX_WEIGHT = 1_000;

/** Reads `url[#fingerprint][*weight][,…]`. @throws Error with the rule that the text breaks */
export function readHosts(text: string): HostAddress[] {
  const hosts = text.split(',').map((entry) => readHost(entry.trim()));
  if (hosts.length > MAX_HOSTS) throw new Error(`must name at most ${MAX_HOSTS} hosts`);
  const urls = new Set(hosts.map(({ url }) => url));
  if (urls.size < hosts.length) throw new Error('must name each host once');
  return hosts;
}

function readHost(entry: string): HostAddress {
  const [, url = '', fingerprint, weight = '1'] = /^([^#*\s]+?)\/?(?:#([^*]*))?(?:\*(\d+))?$/.exec(entry) ?? [];
  if (!isHttpUrl(url)) throw new Error('must be http(s)://host:port[#fingerprint][*weight][,…]');
  if (fingerprint !== undefined && !FINGERPRINT.test(fingerprint))
    throw new Error('must have fingerprints of 32 hexadecimal digits, as `sheratan keys export` and a host print them');
  if (Number(weight) < 1 || Number(weight) > MAX_WEIGHT) throw new Error(`must have weights of 1–${MAX_WEIGHT}`);
  return { url, weight: Number(weight), ...(fingerprint === undefined ? {} : { fingerprint }) };
}

/** Reads `name=key[,…]`: origins and their verify keys of 64 hexadecimal digits. @throws Error with the rule that is broken */
export function readOrigins(text: string): ReadonlyMap<Origin, VerifyKey> {
  const origins = text.split(',').map((entry): readonly [Origin, VerifyKey] => {
    const [name = '', digits = ''] = entry.trim().split('=', 2);
    const key = HEX_KEY.test(digits) ? fromHex(digits) : new Uint8Array();
    if (!isOrigin(name) || !isVerifyKey(key))
      throw new Error('must be name=key[,…]: origins with their verify keys, as `sheratan keys export` prints them');
    return [name, key];
  });
  if (new Map(origins).size < origins.length) throw new Error('must name each origin once');
  return new Map(origins);
}

/** Reads the key of one host, as `sheratan hosts key` prints it. @throws Error with the rule that the text breaks */
export function readHostKey(text: string): HostKey {
  if (!HEX_KEY.test(text)) throw new Error('must be 64 hexadecimal digits, as `sheratan hosts key` prints them');
  return fromHex(text);
}

/** Whether a text is an HTTP or HTTPS URL without a path, a query, a user name or a password. */
export function isHttpUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && search === '' && username === '' && password === '';
}

/** Whether a URL is on loopback, so that requests to it stay on this machine. */
export function isLocalUrl(url: string): boolean {
  return isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''));
}

/** Whether a text is a valid name of an origin. */
export function isOrigin(text: string): boolean {
  return ORIGIN.test(text);
}
