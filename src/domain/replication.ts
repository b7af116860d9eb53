import type { Fact } from './event.js';
import { isJsonObject, type Json, type JsonObject } from './json.js';

/** The first line that an operator can begin; line 1 begins with the first policy. */
const FIRST_BEGUN_LINE = 2;

/** A storage host as a policy names it. */
export interface PolicyHost {
  /** The fingerprint of its verify key: a host under two URLs is one host. */
  readonly host: string;
  readonly url: string;
  /** Ed25519, base64. */
  readonly verifyKey: string;
  /** A whole number, at least 1. */
  readonly weight: number;
  /** Whether an operator has confirmed the key; otherwise it is the key that the host had at first contact. */
  readonly confirmed: boolean;
}

/** Which hosts keep the events, and the weight that must have signed for an event before it is at quorum. */
export interface Policy {
  /** From 1. */
  readonly version: number;
  readonly hosts: readonly PolicyHost[];
  /** The total weight of hosts that must have signed. */
  readonly required: number;
}

/** A policy was set. */
export type ReplicationPolicySet = Fact<
  'ReplicationPolicySet',
  Policy & {
    readonly origin: string;
    /** The line that this policy begins, from 2: what was at quorum in older lines no longer binds the history. */
    readonly line?: number;
    /** With `line`: the sequences of the HistoryHoles before this event. */
    readonly holes?: readonly number[];
  }
>;

/**
 * ACTIVE: accepts events. SUSPENDED: proven dishonest, or suspended by an operator; it does not count. BLOCKED: refuses an
 * event. FULL: has no space left. RETIRED: permanently removed.
 */
export const HOST_STATES = ['ACTIVE', 'SUSPENDED', 'BLOCKED', 'FULL', 'RETIRED'] as const;
/** The state of a host. */
export type HostState = (typeof HOST_STATES)[number];

/** Whether events are shipped to a host in this state: a FULL host is tried from time to time. */
export function isServed(state: HostState): boolean {
  return state === 'ACTIVE' || state === 'FULL';
}

/** A signed statement as a log keeps it: content and signature, each in base64. */
export type SignedText = readonly [content: string, signature: string];

/**
 * What proves a host dishonest, each by its own signature over the right request. STATEMENT: its head carries a statement that
 * is not the origin's, or an incomplete tree. BATCH: its head in answer to a batch does not include the batch. CLAIM: its head
 * in answer to a claim has granted another claim. RANK: its head ranks below one that was counted before.
 */
export const PROOF_KINDS = ['STATEMENT', 'BATCH', 'CLAIM', 'RANK'] as const;
/** The kind of a proof against a host. */
export type ProofKind = (typeof PROOF_KINDS)[number];

/** A proof that a host is dishonest: a head, and what it contradicts. */
export interface HostProof {
  readonly kind: ProofKind;
  /** The head that the host has signed. */
  readonly head: SignedText;
  /** What it contradicts: a tree, a claim or an earlier head; null when the head contradicts itself. */
  readonly against: SignedText | null;
}

/** The state of a host changed. */
export type HostStateChanged = Fact<
  'HostStateChanged',
  {
    readonly origin: string;
    readonly host: string;
    readonly state: HostState;
    /** The last sequence that the host had; for BLOCKED, the sequence before the refused event. */
    readonly sequence: number;
    readonly why: string;
    /** Why the host is SUSPENDED; absent when an operator suspended it. */
    readonly proof?: HostProof;
  }
>;

/** The last head of a host that was counted. */
export interface CountedHead {
  /** The line of its tree. */
  readonly line: number;
  readonly epoch: number;
  /** How many events its tree states were at quorum. */
  readonly quorum: number;
  /** As the host sent it. */
  readonly signed: SignedText;
}

/** How many events a host has, by the head it signed. */
export interface Acknowledgement {
  readonly host: string;
  /** How many events it has. */
  readonly sequence: number;
  /** Null when the host signed by protocol 1. */
  readonly head: CountedHead | null;
}

/** An election that a process won with a log. */
export interface WonElection {
  readonly line: number;
  readonly epoch: number;
  /** A tree of the epoch that has fewer events does not count. */
  readonly base: number;
}

/** Hosts signed for events. A local event. */
export type ReplicasAcknowledged = Fact<
  'ReplicasAcknowledged',
  {
    readonly origin: string;
    /** The policy in force. */
    readonly policyVersion: number;
    /** The epoch of the process that records this. */
    readonly writerEpoch: number;
    /** The line in which the quorum was reached. */
    readonly line: number;
    readonly hosts: readonly Acknowledgement[];
    /** Every event up to this sequence has been signed for by a quorum. */
    readonly quorumSequence: number;
    /** The epoch of the tree that the quorum signed for; 0 before protocol 2. */
    readonly quorumEpoch: number;
    /** The last election won with this log. If the log does not have its line yet, the next policy begins that line. */
    readonly elected?: WonElection;
    /** With `elected`: whether the log was restored from hosts, and has not won an election since. */
    readonly restored?: boolean;
    /** The weight of hosts that may be dishonest, as given to the restore. */
    readonly dishonestWeight?: number;
    /** With `elected` of a line that has not begun: the sequences of the HistoryHoles before this event. */
    readonly holes?: readonly number[];
  }
>;

/** By event type: the upcasters from each schema version to the next. Version 1 had heads of protocol 1. */
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

/** What can happen to the replication of an origin. */
export type ReplicationFact = ReplicationPolicySet | HostStateChanged | ReplicasAcknowledged;

/** The stream of an origin's policies and of the states of its hosts. */
export function replicationStream(origin: string): string {
  return `replication-${origin}`;
}

/**
 * The stream of the acknowledgements of an origin's hosts. Its events are local: in a stream of replicated events they would
 * leave gaps in the revisions that a restore reads and appends at.
 */
export function acknowledgementStream(origin: string): string {
  return `replication-${origin}/acknowledged`;
}

/** The last sequence that each host has signed for, by fingerprint. */
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

/**
 * The version of the policy that is in force when `quorum` events are at quorum; 0 without a policy.
 * @param policies the policies in play, in the order they were set
 */
export function versionInForce(policies: readonly PlacedPolicy[], quorum: number): number {
  const inForce = policies.findLast(({ sequence }) => sequence <= quorum) ?? policies[0];
  return inForce?.policy.version ?? 0;
}

/** The policy in force, and the quorum sequence under it. */
export interface Quorum {
  /** The version of the policy in force. */
  readonly policyVersion: number;
  readonly sequence: number;
}

/**
 * The quorum sequence under the policies in play. A new policy is in force once its own event is at quorum under both the old
 * policy and the new one. Until then its event and all later events need a quorum under both, so that no acknowledged event
 * lacks a quorum afterwards. The first policy is in force immediately.
 * @param policies in the order they were set, starting with the one in force
 * @returns undefined without a policy
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

/** The smallest required weight with which two quorums always have a host in common: more than half. */
export function majorityOf(weight: number): number {
  return Math.floor(weight / 2) + 1;
}

/** Whether two quorums of a policy may have no host in common, so that each could have signed for a different history. */
export function mayDivide(policy: Pick<Policy, 'hosts' | 'required'>): boolean {
  return policy.required <= totalWeight(policy) / 2;
}

/**
 * Whether some hosts are enough to learn of everything a quorum may have signed: every possible quorum includes one of them.
 * A writer also needs the required weight, to get anything signed.
 */
export function meetsEveryQuorum(policy: Policy, some: ReadonlySet<string>): boolean {
  return weightOf(policy, some) > totalWeight(policy) - policy.required;
}

/**
 * Whether the hosts of a policy, without those that are gone, have signed for everything up to a sequence, and have the
 * required weight to continue. True for a policy that names none of those that are gone.
 */
export function meetsWithout(policy: Policy, gone: ReadonlySet<string>, reached: Reached, sequence: number): boolean {
  const hosts = policy.hosts.filter(({ host }) => !gone.has(host));
  if (hosts.length === policy.hosts.length) return true;
  const rest = { ...policy, hosts };
  return totalWeight(rest) >= policy.required && quorumSequence(rest, reached) >= sequence;
}

const isText = (value: unknown): value is string => typeof value === 'string';

/**
 * Whether the data of an event about replication has the shape of its type. A read model receives no other data: a value of
 * another type could be written and not found again, or could not be written at all.
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
        hosts.every((one: unknown) => isJsonObject(one) && isText(one['host']) && isAcknowledged(one)) &&
        isAbsentOr(fields['elected'], isWonElection) &&
        isAbsentOr(fields['restored'], (restored) => typeof restored === 'boolean') &&
        isAbsentOr(fields['dishonestWeight'], isWhole) &&
        isAbsentOr(fields['holes'], arePlaces)
      );
  }
}

function withoutHead(one: Json): Json {
  return isJsonObject(one) ? { ...one, head: null } : one;
}

function isPolicyHost(one: unknown): boolean {
  if (!isJsonObject(one)) return false;
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
  return (
    isJsonObject(head) && ['line', 'epoch', 'quorum'].every((name) => isWhole(head[name])) && isSigned(head['signed'])
  );
}

function isWonElection(elected: unknown): boolean {
  return isJsonObject(elected) && ['line', 'epoch', 'base'].every((name) => isWhole(elected[name]));
}

function isProof(proof: unknown): boolean {
  if (!isJsonObject(proof)) return false;
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
