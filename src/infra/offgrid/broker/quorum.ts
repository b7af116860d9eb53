/** When enough nodes have said that they keep something: the arithmetic of a broker's policy, without clock or state. */

/** What an ack counts. */
export interface QuorumPolicy {
  /** The weight of a node that `weights` does not name. */
  readonly weightDefault: number;
  readonly weights: ReadonlyMap<string, number>;
  /** After how many seconds an ack counts half; 0 for never. */
  readonly decayHalfLifeS: number;
  /** After how many seconds an ack counts nothing; 0 for never. */
  readonly maxAgeS: number;
}

/** What holds in general, and what a kind has in its place. */
export interface QuorumPolicies extends QuorumPolicy {
  readonly kinds: ReadonlyMap<string, Partial<QuorumPolicy>>;
}

/** That a node keeps something. */
export interface Ack {
  readonly id: string;
  /** When it said so last, in Unix seconds. */
  readonly ts: number;
  /** The weight it had then. */
  readonly w: number;
}

/** Every node counts 1, for ever. */
export const DEFAULT_POLICIES: QuorumPolicies = {
  weightDefault: 1,
  weights: new Map(),
  decayHalfLifeS: 0,
  maxAgeS: 0,
  kinds: new Map(),
};

/** How far a sum may fall short for the rounding of fractions: 0.7 + 0.1 is a little less than 0.8. */
const ROUNDING = 1e-9;

/** The policy of a kind, or the general one. What is set for the kind stands in place of the general, field by field. */
export function policyFor({ kinds, ...general }: QuorumPolicies, kind?: string): QuorumPolicy {
  return { ...general, ...(kind === undefined ? undefined : kinds.get(kind)) };
}

export function weightOf(policy: QuorumPolicy, node: string): number {
  return policy.weights.get(node) ?? policy.weightDefault;
}

/** Acks with one more. One ack a node counts: a later one stands in place of the earlier. */
export function withAck(acks: readonly Ack[], ack: Ack): Ack[] {
  return [...acks.filter(({ id }) => id !== ack.id), ack];
}

/** Σ w · 0.5^(age / half-life), where what is past the maximum age counts nothing. An ack of the future is new. */
export function sumOfWeights({ decayHalfLifeS, maxAgeS }: QuorumPolicy, acks: readonly Ack[], nowS: number): number {
  let sum = 0;
  for (const { ts, w } of acks) {
    const age = Math.max(0, nowS - ts);
    if (maxAgeS > 0 && age > maxAgeS) continue;
    sum += decayHalfLifeS > 0 ? w * 0.5 ** (age / decayHalfLifeS) : w;
  }
  return sum;
}

/** Whether a record is final: once it was, it stays so, however its acks decay. */
export function isFinalized(wasFinalized: boolean, sum: number, required: number): boolean {
  return wasFinalized || sum >= required - ROUNDING;
}
