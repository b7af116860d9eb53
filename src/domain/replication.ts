import type { Fact } from './event.js';

/** A storage host as a policy names it. */
export interface PolicyHost {
  /** The fingerprint of its verify key: one host under two URLs is one. */
  readonly host: string;
  readonly url: string;
  /** Ed25519, base64. */
  readonly verifyKey: string;
  /** A whole number, at least 1. */
  readonly weight: number;
  /** Whether somebody has vouched for the key; otherwise it is the one it answered with at first contact. */
  readonly confirmed: boolean;
}

/** Which hosts keep the events, and how many of them must have signed for one before it counts as kept. */
export interface Policy {
  /** From 1. */
  readonly version: number;
  readonly hosts: readonly PolicyHost[];
  /** The weight that hosts must have together. */
  readonly required: number;
}

export type ReplicationPolicySet = Fact<'ReplicationPolicySet', Policy & { readonly origin: string }>;

/**
 * ACTIVE takes events. SUSPENDED was caught lying, or by an operator: it counts for nothing. BLOCKED refuses an event.
 * FULL has no room. RETIRED is gone for good.
 */
export const HOST_STATES = ['ACTIVE', 'SUSPENDED', 'BLOCKED', 'FULL', 'RETIRED'] as const;
export type HostState = (typeof HOST_STATES)[number];

/** Whether a host is shipped to: one without room is tried now and then. */
export function isServed(state: HostState): boolean {
  return state === 'ACTIVE' || state === 'FULL';
}

export type HostStateChanged = Fact<
  'HostStateChanged',
  {
    readonly origin: string;
    readonly host: string;
    readonly state: HostState;
    /** How far it had got; of a BLOCKED one, the event before the one it refuses. */
    readonly sequence: number;
    readonly why: string;
  }
>;

/** What a host signed, and how far it has got by that. */
export interface Acknowledgement {
  readonly host: string;
  readonly sequence: number;
  /** The signed head as the host sent it. */
  readonly head: SignedHead;
}

/** A host's word for what it holds of an origin; docs/protocol.md. */
export interface SignedHead {
  readonly tag: 'head/v1';
  readonly host: string;
  readonly origin: string;
  /** The writer epoch of the last batch it took; 0 before the first. */
  readonly epoch: number;
  /** The number of its last event; 0 before the first. */
  readonly sequence: number;
  /** The Merkle root over the addresses of events 1 … sequence, hexadecimal. */
  readonly root: string;
  /** The host's clock, in milliseconds since 1970; advisory. */
  readonly ts: number;
  readonly challenge?: string;
  /** Ed25519, base64. */
  readonly signature: string;
}

export type ReplicasAcknowledged = Fact<
  'ReplicasAcknowledged',
  {
    readonly origin: string;
    /** The policy in force. */
    readonly policyVersion: number;
    readonly writerEpoch: number;
    readonly hosts: readonly Acknowledgement[];
    /** Every event up to here has been signed for by a quorum. */
    readonly quorumSequence: number;
  }
>;

export type ReplicationFact = ReplicationPolicySet | HostStateChanged | ReplicasAcknowledged;

/** The stream of an origin's policy and its hosts. */
export function replicationStream(origin: string): string {
  return `replication-${origin}`;
}

/**
 * The stream of what an origin's hosts acknowledged. Its events stay here: among events that travel they would be gaps in
 * the revisions that a restore finds, and appends by.
 */
export function acknowledgementStream(origin: string): string {
  return `replication-${origin}/acknowledged`;
}

/** How far each host has got, by its fingerprint. */
export type Reached = ReadonlyMap<string, number>;

/** The highest sequence that hosts of at least the required weight have reached. */
export function quorumSequence({ hosts, required }: Policy, reached: Reached): number {
  const known = hosts.map(({ host, weight }) => ({ weight, sequence: reached.get(host) ?? 0 }));
  known.sort((a, b) => b.sequence - a.sequence);
  let weight = 0;
  for (const host of known) {
    weight += host.weight;
    if (weight >= required) return host.sequence;
  }
  return 0;
}

/** A policy, and the sequence of the event that set it. */
export interface PlacedPolicy {
  readonly policy: Policy;
  readonly sequence: number;
}

/** What counts now, and how far. */
export interface Quorum {
  /** The version of the policy in force. */
  readonly policyVersion: number;
  readonly sequence: number;
}

/**
 * The quorum sequence under the policies there are. A new policy is in force once its own event is at quorum under the
 * old one and under itself; until then its event and what follows need a quorum under both, so that nothing that was
 * acknowledged is short of a quorum afterwards. The first is in force at once.
 * @param policies in the order they were set, from the one in force on
 */
export function quorumUnder(policies: readonly PlacedPolicy[], reached: Reached): Quorum | undefined {
  const [first, ...rest] = policies;
  if (first === undefined) return undefined;
  let version = first.policy.version;
  let sequence = quorumSequence(first.policy, reached);
  let isPending = false;
  for (const { policy, sequence: setAt } of rest) {
    const under = quorumSequence(policy, reached);
    isPending ||= sequence < setAt || under < setAt;
    if (!isPending) {
      version = policy.version;
      sequence = under;
    } else if (sequence >= setAt) sequence = Math.max(setAt - 1, Math.min(sequence, under));
  }
  return { policyVersion: version, sequence };
}

/** The weight of all hosts of a policy. */
export function totalWeight({ hosts }: Pick<Policy, 'hosts'>): number {
  return hosts.reduce((sum, { weight }) => sum + weight, 0);
}

/** The weight of some hosts of a policy. */
export function weightOf({ hosts }: Pick<Policy, 'hosts'>, some: ReadonlySet<string>): number {
  return hosts.reduce((sum, { host, weight }) => sum + (some.has(host) ? weight : 0), 0);
}

/** The least required weight that two quorums cannot both have: more than half. */
export function majorityOf(weight: number): number {
  return Math.floor(weight / 2) + 1;
}

/**
 * Whether hosts are enough to learn everything a quorum may have signed: whatever quorum there was, one of them was in
 * it. A writer also needs the required weight, to get anything signed.
 */
export function meetsEveryQuorum(policy: Policy, some: ReadonlySet<string>): boolean {
  return weightOf(policy, some) > totalWeight(policy) - policy.required;
}

/**
 * Whether the hosts of a policy, but for some that are gone, have signed for everything up to a sequence, and are enough
 * to go on. A policy that does not name them is not concerned.
 */
export function meetsWithout(policy: Policy, gone: ReadonlySet<string>, reached: Reached, sequence: number): boolean {
  const hosts = policy.hosts.filter(({ host }) => !gone.has(host));
  if (hosts.length === policy.hosts.length) return true;
  const rest = { ...policy, hosts };
  return totalWeight(rest) >= policy.required && quorumSequence(rest, reached) >= sequence;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Whether the data of an event about replication has its shape. A read model is not given any other: a value of another type
 * could be written, and not found again, or not be written at all.
 */
export function isReplicationFact({ type, data }: Fact<ReplicationFact['type'], object>): boolean {
  const fields = data as Readonly<Record<string, unknown>>;
  const { hosts } = fields;
  const areWhole = (...names: readonly string[]) => names.every((name) => Number.isSafeInteger(fields[name]));
  if (!isText(fields['origin'])) return false;
  switch (type) {
    case 'ReplicationPolicySet':
      return areWhole('version', 'required') && Array.isArray(hosts) && hosts.every(isPolicyHost);
    case 'HostStateChanged':
      return areWhole('sequence') && [fields['host'], fields['why']].every(isText) && isHostState(fields['state']);
    case 'ReplicasAcknowledged':
      return (
        areWhole('policyVersion', 'writerEpoch', 'quorumSequence') &&
        Array.isArray(hosts) &&
        hosts.every((one: unknown) => isObject(one) && isText(one['host']) && isAcknowledged(one))
      );
  }
}

function isPolicyHost(one: unknown): boolean {
  if (!isObject(one)) return false;
  const { host, url, verifyKey, weight, confirmed } = one;
  return [host, url, verifyKey].every(isText) && Number.isSafeInteger(weight) && typeof confirmed === 'boolean';
}

function isHostState(value: unknown): boolean {
  return HOST_STATES.some((state) => state === value);
}

function isAcknowledged({ sequence, head }: Readonly<Record<string, unknown>>): boolean {
  return Number.isSafeInteger(sequence) && isObject(head);
}
