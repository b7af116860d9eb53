import type { Fact } from './event.js';
import type { Json, JsonObject } from './json.js';

/** Line 1 is begun by the first policy; the first that an operator begins is this. */
const FIRST_BEGUN_LINE = 2;

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

export type ReplicationPolicySet = Fact<
  'ReplicationPolicySet',
  Policy & {
    readonly origin: string;
    /** Begins this line, from 2: what older lines had at quorum binds the history no more. */
    readonly line?: number;
    /** Of the policy that begins a line: the numbers of the HistoryHoles before it. */
    readonly holes?: readonly number[];
  }
>;

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

/** A signed thing as a log keeps it: content and signature, each in base64. */
export type SignedText = readonly [content: string, signature: string];

/**
 * What a host has proven against itself, each by a signature of its own over the right request. STATEMENT: a head carries what
 * is not the origin's, or an incomplete tree. BATCH: a head in answer to a batch does not have it. CLAIM: a head in answer
 * to a claim has granted another. RANK: a head ranks below one that was counted before.
 */
export const PROOF_KINDS = ['STATEMENT', 'BATCH', 'CLAIM', 'RANK'] as const;
export type ProofKind = (typeof PROOF_KINDS)[number];

/** A proof with both its sides. */
export interface HostProof {
  readonly kind: ProofKind;
  /** The head that the host has signed. */
  readonly head: SignedText;
  /** What it contradicts: a tree, a claim or an earlier head; null when the head contradicts itself. */
  readonly against: SignedText | null;
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
    /** What a host is SUSPENDED for, unless an operator wanted it. */
    readonly proof?: HostProof;
  }
>;

/** The head of a host that was counted last. */
export interface CountedHead {
  /** Of its tree. */
  readonly line: number;
  readonly epoch: number;
  /** How many events its tree says were at quorum. */
  readonly quorum: number;
  /** As the host sent it. */
  readonly signed: SignedText;
}

/** How far a host has got, by what it has signed. */
export interface Acknowledgement {
  readonly host: string;
  /** How many events it has. */
  readonly sequence: number;
  /** Null when it was signed by protocol 1. */
  readonly head: CountedHead | null;
}

/** An election that a process won with a log. */
export interface WonElection {
  readonly line: number;
  readonly epoch: number;
  /** No tree of the epoch counts that has fewer events. */
  readonly base: number;
}

export type ReplicasAcknowledged = Fact<
  'ReplicasAcknowledged',
  {
    readonly origin: string;
    /** The policy in force. */
    readonly policyVersion: number;
    /** The epoch of the process that records this. */
    readonly writerEpoch: number;
    /** The line that the quorum is of. */
    readonly line: number;
    readonly hosts: readonly Acknowledgement[];
    /** Every event up to here has been signed for by a quorum, */
    readonly quorumSequence: number;
    /** in a tree of this epoch; 0 before protocol 2. */
    readonly quorumEpoch: number;
    /** The last election that was won with this log. Of a line that the log does not have yet: its next policy begins it. */
    readonly elected?: WonElection;
    /** With `elected`: the log was restored from hosts, and has not won an election since. */
    readonly restored?: boolean;
    /** The weight of hosts that may lie, as the restore was told. */
    readonly dishonestWeight?: number;
    /** With `elected` of a line that is to be begun: the numbers of the HistoryHoles before this. */
    readonly holes?: readonly number[];
  }
>;

/** By type: from one schema version to the next. Version 1 had heads of protocol 1. */
export const replicationUpcasters = {
  ReplicasAcknowledged: [
    (data: JsonObject): JsonObject => data,
    ({ hosts = null, ...data }: JsonObject): JsonObject => ({
      ...data,
      hosts: Array.isArray(hosts) ? hosts.map(withoutHead) : hosts,
      line: 1,
      quorumEpoch: 0,
    }),
  ],
} as const;

export type ReplicationFact = ReplicationPolicySet | HostStateChanged | ReplicasAcknowledged;

/** The stream of an origin's policy and its hosts. */
export function replicationStream(origin: string): string {
  return `replication-${origin}`;
}

/**
 * The stream of what an origin's hosts acknowledged. Its events are local: among replicated events they would be gaps in
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

/** A policy, and the event that set it. */
export interface PlacedPolicy {
  readonly policy: Policy;
  readonly sequence: number;
}

/** The version of the policy in force once so many events are at quorum; 0 without any. @param policies in play */
export function versionInForce(policies: readonly PlacedPolicy[], quorum: number): number {
  const inForce = policies.findLast(({ sequence }) => sequence <= quorum) ?? policies[0];
  return inForce?.policy.version ?? 0;
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

/** Whether two quorums of a policy need have no host in common: each could have signed for another history. */
export function mayDivide(policy: Pick<Policy, 'hosts' | 'required'>): boolean {
  return policy.required <= totalWeight(policy) / 2;
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
  const areWhole = (...names: readonly string[]) => names.every((name) => isWhole(fields[name]));
  if (!isText(fields['origin'])) return false;
  switch (type) {
    case 'ReplicationPolicySet':
      return (
        areWhole('version', 'required') &&
        Array.isArray(hosts) &&
        hosts.every(isPolicyHost) &&
        isAbsentOr(fields['line'], isLine) &&
        isAbsentOr(fields['holes'], arePlaces)
      );
    case 'HostStateChanged':
      return (
        areWhole('sequence') &&
        [fields['host'], fields['why']].every(isText) &&
        isHostState(fields['state']) &&
        isAbsentOr(fields['proof'], isProof)
      );
    case 'ReplicasAcknowledged':
      return (
        areWhole('policyVersion', 'writerEpoch', 'line', 'quorumSequence', 'quorumEpoch') &&
        Array.isArray(hosts) &&
        hosts.every((one: unknown) => isObject(one) && isText(one['host']) && isAcknowledged(one)) &&
        isAbsentOr(fields['elected'], isWonElection) &&
        isAbsentOr(fields['restored'], (restored) => typeof restored === 'boolean') &&
        isAbsentOr(fields['dishonestWeight'], isWhole) &&
        isAbsentOr(fields['holes'], arePlaces)
      );
  }
}

function withoutHead(one: Json): Json {
  return isObject(one) ? { ...one, head: null } : one;
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
  return isWhole(sequence) && (head === null || isCountedHead(head));
}

function isCountedHead(head: unknown): boolean {
  return isObject(head) && ['line', 'epoch', 'quorum'].every((name) => isWhole(head[name])) && isSigned(head['signed']);
}

function isWonElection(elected: unknown): boolean {
  return isObject(elected) && ['line', 'epoch', 'base'].every((name) => isWhole(elected[name]));
}

function isProof(proof: unknown): boolean {
  if (!isObject(proof)) return false;
  const { kind, head, against } = proof;
  return PROOF_KINDS.some((known) => known === kind) && isSigned(head) && (against === null || isSigned(against));
}

function isSigned(signed: unknown): boolean {
  return Array.isArray(signed) && signed.length === 2 && signed.every(isText);
}

function isAbsentOr(value: unknown, is: (value: unknown) => boolean): boolean {
  return value === undefined || is(value);
}

function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value);
}

function arePlaces(value: unknown): boolean {
  return Array.isArray(value) && value.every(isPlace);
}

function isPlace(value: unknown): boolean {
  return isWhole(value) && Number(value) >= 1;
}

function isLine(value: unknown): boolean {
  return isPlace(value) && Number(value) >= FIRST_BEGUN_LINE;
}
