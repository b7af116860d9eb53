import { majorityOf, totalWeight, type Policy, type PolicyHost } from './replication.js';

/** A host that an operator wants. */
export interface WantedHost {
  readonly url: string;
  readonly weight: number;
  /** What its key must be. */
  readonly fingerprint?: string;
}

/** Who answered at a URL. */
export interface MetHost {
  readonly host: string;
  readonly verifyKey: string;
}

/** What an operator wants. */
export interface WantedPolicy {
  readonly hosts: readonly WantedHost[];
  /** The weight that must have signed; more than half of all unless given. */
  readonly required: number | undefined;
}

/** What a host is to a policy, by its URL. */
export type Standing = { readonly host: PolicyHost } | { readonly stranger: string } | 'UNMET';

/**
 * Who stands behind a wanted host: the one whose key is named; or the one that the policy has at its URL; or, where there
 * is none yet, whoever answers there. One that answers with another key counts for nothing until somebody names its key.
 */
export function standingOf(wanted: WantedHost, current: Policy | undefined, met: MetHost | undefined): Standing {
  const { url, weight, fingerprint } = wanted;
  const known = current?.hosts.find((host) => host.url === url || host.host === fingerprint);
  const expected = fingerprint ?? known?.host;
  const isConfirmed = fingerprint !== undefined || known?.confirmed === true;
  if (met !== undefined && (expected === undefined || met.host === expected)) {
    return { host: { host: met.host, url, verifyKey: met.verifyKey, weight, confirmed: isConfirmed } };
  }
  if (met !== undefined) return { stranger: met.host };
  if (known === undefined || known.host !== expected) return 'UNMET';
  return { host: { ...known, url, weight, confirmed: isConfirmed } };
}

/**
 * The policy that follows from what is wanted and who was met; undefined when it is the current one already, or when too
 * few are known to have anything signed. Hosts not met yet are left out until they are: what is required counts them.
 * @param retired fingerprints of hosts that are gone for good
 * @param isWantedAgain whether the current policy is to be set once more, as the first of a line
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
    if (standing === 'UNMET' || 'stranger' in standing) continue;
    const { host } = standing;
    // One host under two URLs is one.
    if (retired.has(host.host)) gone += one.weight;
    else if (!hosts.has(host.host)) hosts.set(host.host, host);
  }
  const total = wanted.hosts.reduce((sum, { weight }) => sum + weight, 0) - gone;
  const required = Math.min(wanted.required ?? majorityOf(total), total);
  const policy = { version: (current?.version ?? 0) + 1, hosts: [...hosts.values()], required };
  if (hosts.size === 0 || totalWeight(policy) < required) return undefined;
  return current !== undefined && !isWantedAgain && isSamePolicy(policy, current) ? undefined : policy;
}

/** Whether two policies ask the same of the same hosts, whatever their versions. */
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
