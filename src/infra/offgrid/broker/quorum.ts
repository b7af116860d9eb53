/** The arithmetic of a broker's quorum policy, without clock or state. */

/** The weight of acks. */
export interface QuorumPolicy {
  /** The weight of a node that `weights` does not name. */
  readonly weightDefault: number;
  readonly weights: ReadonlyMap<string, number>;
  /** The half-life of an ack's weight, in seconds; 0 for no decay. */
  readonly decayHalfLifeS: number;
  /** The age above which an ack counts 0, in seconds; 0 for no maximum. */
  readonly maxAgeS: number;
}

/** The general policy, and the fields that kinds override. */
export interface QuorumPolicies extends QuorumPolicy {
  readonly kinds: ReadonlyMap<string, Partial<QuorumPolicy>>;
}

/** A node's acknowledgement that it keeps the events of a record. */
export interface Ack {
  /** The node. */
  readonly id: string;
  /** The time of the node's last ack, in Unix seconds. */
  readonly ts: number;
  /** The weight of the node at that time. */
  readonly w: number;
}

/** The default policy: every node counts 1, without decay. */
export const DEFAULT_POLICIES: QuorumPolicies = {
  weightDefault: 1,
  weights: new Map(),
  decayHalfLifeS: 0,
  maxAgeS: 0,
  kinds: new Map(),
};

/** The tolerance for the rounding of fractions in a sum: 0.7 + 0.1 is slightly less than 0.8. */
const ROUNDING = 1e-9;

/** The policy of a kind, or the general one. A field that is set for the kind replaces the general field. */
export function policyFor({ kinds, ...general }: QuorumPolicies, kind?: string): QuorumPolicy {
  return { ...general, ...(kind === undefined ? undefined : kinds.get(kind)) };
}

/** The weight of a node under a policy. */
export function weightOf(policy: QuorumPolicy, node: string): number {
  return policy.weights.get(node) ?? policy.weightDefault;
}

/** The acks with one more. One ack counts per node: a later one replaces the earlier. */
export function withAck(acks: readonly Ack[], ack: Ack): Ack[] {
  return [...acks.filter(({ id }) => id !== ack.id), ack];
}

/** Σ w · 0.5^(age / half-life), without acks past the maximum age. An ack from the future has the age 0. */
export function sumOfWeights({ decayHalfLifeS, maxAgeS }: QuorumPolicy, acks: readonly Ack[], nowS: number): number {
  let sum = 0;
  for (const { ts, w } of acks) {
    const age = Math.max(0, nowS - ts);
    if (maxAgeS > 0 && age > maxAgeS) continue;
    sum += decayHalfLifeS > 0 ? w * 0.5 ** (age / decayHalfLifeS) : w;
  }
  return sum;
}

/** Whether a record is final. A final record remains final even if its acks decay. */
export function isFinalized(wasFinalized: boolean, sum: number, required: number): boolean {
  return wasFinalized || sum >= required - ROUNDING;
}
