import { fromHex } from '../../crypto/bytes.js';
import { isLoopback } from '../../platform/loopback.js';
import type { HostKey } from './authentication.js';
import { FINGERPRINT, ORIGIN, type Origin } from './fields.js';
import { isVerifyKey, type VerifyKey } from './verify-key.js';

/** A host as a setting names it. */
export interface HostAddress {
  readonly url: string;
  /** What its key must be; the key it answers with at first contact unless given. */
  readonly fingerprint?: string;
  readonly weight: number;
}

/** How core, hosts and broker of a machine are set up to work together. */
export interface OffgridSettings {
  /** Whether to replicate at all. */
  readonly enabled: boolean;
  /** The name of the core on the hosts. */
  readonly origin: string;
  readonly hosts: readonly HostAddress[];
  readonly brokerUrl: string;
  /** Shared by core, hosts and broker; it keeps strangers out and proves nothing else. */
  readonly authKey: string;
  /** What a host is given in its stead, which is good for that host alone. */
  readonly hostKey: HostKey | undefined;
  /** The only origins that a host serves, with their keys; empty: whoever first claims a name pins its key. */
  readonly origins: ReadonlyMap<Origin, VerifyKey>;
  /** The weight of hosts that must have signed; a majority unless given. */
  readonly requiredAcks: number | undefined;
  /** The weight of hosts that may lie: so much more must be heard before anything counts. */
  readonly dishonestWeight: number;
  readonly keyPassphrase: string | undefined;
  /** How long a mutation waits for a quorum, in milliseconds. */
  readonly replicatedTimeoutMs: number;
  /** Contents of more bytes are files on a host. */
  readonly chunkThreshold: number;
  /** The most bytes of contents a host keeps. */
  readonly hostBudgetBytes: number;
}

/** What everybody knows, and so good on loopback alone. */
export const DEFAULT_AUTH_KEY = 'shared-secret';
/** 32 bytes. */
const HEX_KEY = /^[0-9a-f]{64}$/;
/** The most hosts of a policy. */
const MAX_HOSTS = 32;
const MAX_WEIGHT = 1_000;

/** Reads `url[#fingerprint][*weight][,…]`. @throws Error that says what is wrong */
export function readHosts(text: string): HostAddress[] {
  const hosts = text.split(',').map((entry) => readHost(entry.trim()));
  if (hosts.length > MAX_HOSTS) throw new Error(`must be at most ${MAX_HOSTS} hosts`);
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

/** Reads `name=key[,…]`: names of origins, and verify keys of 64 hexadecimal digits. @throws Error that says what is wrong */
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

/** Reads the key of one host, as `sheratan hosts key` prints it. @throws Error that says what is wrong */
export function readHostKey(text: string): HostKey {
  if (!HEX_KEY.test(text)) throw new Error('must be 64 hexadecimal digits, as `sheratan hosts key` prints them');
  return fromHex(text);
}

/** Whether a text is an address of HTTP without a path, a query or a password. */
export function isHttpUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && search === '' && username === '' && password === '';
}

/** Whether only this machine is spoken to. */
export function isLocalUrl(url: string): boolean {
  return isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''));
}

export function isOrigin(text: string): boolean {
  return ORIGIN.test(text);
}
