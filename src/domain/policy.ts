import { majorityOf, totalWeight, type Policy, type PolicyHost } from './replication.js';

/** A host that an operator wants in the policy. */
export interface WantedHost {
  readonly url: string;
  readonly weight: number;
  /** The fingerprint that its key must have. */
  readonly fingerprint?: string;
}

/** The host that answered at a URL. */
export interface MetHost {
  readonly host: string;
  readonly verifyKey: string;
}

/** The policy that an operator wants. */
export interface WantedPolicy {
  readonly hosts: readonly WantedHost[];
  /** The weight that must have signed; by default more than half of the total. */
  readonly required: number | undefined;
}

/** The policy's entry for a wanted host; the fingerprint of a host that answers with another key; or UNMET without either. */
export type Standing = { readonly host: PolicyHost } | { readonly unexpected: string } | 'UNMET';

/**
 * Decides which host a wanted host is: the one whose key is named; or the one that the policy has at its URL; or, where there
 * is none yet, the one that answers there. A host that answers with another key does not count until an operator names its key.
 */
export function standingOf(wanted: WantedHost, current: Policy | undefined, met: MetHost | undefined): Standing {
  const { url, weight, fingerprint } = wanted;
  const known = current?.hosts.find((host) => host.url === url || host.host === fingerprint);
  const expected = fingerprint ?? known?.host;
  const isConfirmed = fingerprint !== undefined || known?.confirmed === true;
  if (met !== undefined && (expected === undefined || met.host === expected)) {
    return { host: { host: met.host, url, verifyKey: met.verifyKey, weight, confirmed: isConfirmed } };
  }
  if (met !== undefined) return { unexpected: met.host };
  if (known === undefined || known.host !== expected) return 'UNMET';
  return { host: { ...known, url, weight, confirmed: isConfirmed } };
}

/**
 * The policy that results from the wanted hosts and the hosts that answered; undefined when it equals the current one, or when
 * the known hosts have less than the required weight. A host that has never answered is left out until it does, but the
 * required weight already counts it.
 * @param met the hosts that answered, by URL
 * @param retired fingerprints of hosts that are permanently gone
 * @param isWantedAgain whether the current policy is to be set again, as the first of a line
 */
export function nextPolicy(
  wanted: WantedPolicy,
  current: Policy | undefined,
  met: ReadonlyMap<string, MetHost>,
  retired: ReadonlySet<string>,
  isWantedAgain = false,
): Policy | undefined {
  const hosts = new Map<string, PolicyHost>();
  let gone = 0;
  for (const one of wanted.hosts) {
    const standing = standingOf(one, current, met.get(one.url));
    if (standing === 'UNMET' || 'unexpected' in standing) continue;
    const { host } = standing;
    // A host under two URLs counts once.
    if (retired.has(host.host)) gone += one.weight;
    else if (!hosts.has(host.host)) hosts.set(host.host, host);
  }
  const total = wanted.hosts.reduce((sum, { weight }) => sum + weight, 0) - gone;
  const required = Math.min(wanted.required ?? majorityOf(total), total);
  const policy = { version: (current?.version ?? 0) + 1, hosts: [...hosts.values()], required };
  if (hosts.size === 0 || totalWeight(policy) < required) return undefined;
  return current !== undefined && !isWantedAgain && isSamePolicy(policy, current) ? undefined : policy;
}

/** Whether two policies name the same hosts and require the same weight; their versions may differ. */
export function isSamePolicy(a: Policy, b: Policy): boolean {
  const isIn = (one: PolicyHost, hosts: readonly PolicyHost[]) =>
    hosts.some(
      ({ host, url, verifyKey, weight, confirmed }) =>
        host === one.host &&
        url === one.url &&
        verifyKey === one.verifyKey &&
        weight === one.weight &&
        confirmed === one.confirmed,
    );
  return a.required === b.required && a.hosts.length === b.hosts.length && a.hosts.every((one) => isIn(one, b.hosts));
}
