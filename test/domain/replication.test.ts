import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isServed,
  majorityOf,
  meetsEveryQuorum,
  meetsWithout,
  quorumSequence,
  quorumUnder,
  totalWeight,
  weightOf,
  type PlacedPolicy,
  type Policy,
  type Reached,
} from '../../src/domain/replication.js';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

function policyOf(version: number, required: number, weights: Readonly<Record<string, number>>): Policy {
  const hosts = Object.entries(weights).map(([host, weight]) => ({
    host,
    url: `http://${host}`,
    verifyKey: '',
    weight,
    confirmed: true,
  }));
  return { version, hosts, required };
}

/** Hosts of weight 1. */
const of = (version: number, required: number, ...hosts: readonly string[]) =>
  policyOf(version, required, Object.fromEntries(hosts.map((host) => [host, 1])));
const at = (sequence: number, policy: Policy): PlacedPolicy => ({ policy, sequence });
const reachedBy = (sequences: Readonly<Record<string, number>>): Reached => new Map(Object.entries(sequences));

const anyWeights = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...NAMES), fc.integer({ min: 1, max: 5 })), {
    selector: ([name]) => name,
    minLength: 1,
  })
  .map((pairs) => Object.fromEntries(pairs));
const anyPolicy = (version = 1) =>
  anyWeights.chain((weights) =>
    fc
      .integer({ min: 1, max: totalWeight(policyOf(version, 1, weights)) })
      .map((required) => policyOf(version, required, weights)),
  );
const anyReached = fc
  .dictionary(fc.constantFrom(...NAMES), fc.integer({ min: 0, max: 40 }))
  .map((sequences) => reachedBy(sequences));
/** Policies in the order they were set. */
const anyPolicies = fc
  .uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 })
  .map((places) => places.sort((a, b) => a - b))
  .chain((places) =>
    fc.tuple(...places.map((place, i) => anyPolicy(i + 1).map((policy): PlacedPolicy => at(place, policy)))),
  );

/** The weight of the hosts that have reached a sequence. */
function weightAt(policy: Policy, reached: Reached, sequence: number): number {
  const some = policy.hosts.filter(({ host }) => (reached.get(host) ?? 0) >= sequence).map(({ host }) => host);
  return weightOf(policy, new Set(some));
}

describe('the quorum sequence', () => {
  it('is the highest that hosts of the required weight have reached', () => {
    const policy = policyOf(1, 3, { a: 1, b: 2, c: 1 });
    expect(quorumSequence(policy, reachedBy({ a: 9, b: 5, c: 7 }))).toBe(5);
    expect(quorumSequence(policy, reachedBy({ a: 9, c: 7 }))).toBe(0);
    expect(quorumSequence(of(1, 1, 'a', 'b'), reachedBy({ b: 4, other: 99 }))).toBe(4);
  });

  it('has the required weight, and the next sequence does not', () => {
    fc.assert(
      fc.property(anyPolicy(), anyReached, (policy, reached) => {
        const sequence = quorumSequence(policy, reached);
        expect(weightAt(policy, reached, sequence)).toBeGreaterThanOrEqual(policy.required);
        expect(weightAt(policy, reached, sequence + 1)).toBeLessThan(policy.required);
      }),
    );
  });

  it('never falls while hosts advance', () => {
    fc.assert(
      fc.property(anyPolicy(), anyReached, fc.constantFrom(...NAMES), fc.nat(20), (policy, reached, host, more) => {
        const further = new Map(reached).set(host, (reached.get(host) ?? 0) + more);
        expect(quorumSequence(policy, further)).toBeGreaterThanOrEqual(quorumSequence(policy, reached));
      }),
    );
  });
});

describe('the quorum under policies', () => {
  it('does not exist without a policy', () => {
    expect(quorumUnder([], new Map())).toBeUndefined();
  });

  it('is immediately that of the first', () => {
    const reached = reachedBy({ a: 2, b: 1 });
    expect(quorumUnder([at(5, of(1, 1, 'a', 'b'))], reached)).toEqual({ policyVersion: 1, sequence: 2 });
  });

  const change = [at(1, of(1, 2, 'a', 'b')), at(10, of(2, 2, 'b', 'c'))];

  it('passes to the next once its own event is at quorum under both', () => {
    expect(quorumUnder(change, reachedBy({ a: 10, b: 10, c: 9 }))).toMatchObject({ policyVersion: 1 });
    expect(quorumUnder(change, reachedBy({ a: 9, b: 10, c: 10 }))).toMatchObject({ policyVersion: 1 });
    expect(quorumUnder(change, reachedBy({ a: 10, b: 10, c: 10 }))).toEqual({ policyVersion: 2, sequence: 10 });
    expect(quorumUnder(change, reachedBy({ a: 10, b: 12, c: 14 }))).toEqual({ policyVersion: 2, sequence: 12 });
  });

  it('follows the old policy for events before the next, and both for later events until the next is in force', () => {
    expect(quorumUnder(change, reachedBy({ a: 8, b: 8 }))).toEqual({ policyVersion: 1, sequence: 8 });
    expect(quorumUnder(change, reachedBy({ a: 99, b: 99, c: 3 }))).toEqual({ policyVersion: 1, sequence: 9 });
    expect(quorumUnder(change, reachedBy({ a: 9, b: 99, c: 99 }))).toEqual({ policyVersion: 1, sequence: 9 });
  });

  it('passes to several policies in one step, and skips none', () => {
    const policies = [...change, at(20, of(3, 1, 'd'))];
    expect(quorumUnder(policies, reachedBy({ a: 10, b: 25, c: 25, d: 30 }))).toEqual({
      policyVersion: 3,
      sequence: 30,
    });
    expect(quorumUnder(policies, reachedBy({ a: 9, b: 25, c: 25, d: 30 }))).toEqual({ policyVersion: 1, sequence: 9 });
    expect(quorumUnder(policies, reachedBy({ a: 10, b: 25, c: 25, d: 3 }))).toEqual({ policyVersion: 2, sequence: 19 });
  });

  it('never falls while hosts advance, nor when superseded policies are dropped', () => {
    fc.assert(
      fc.property(anyPolicies, anyReached, anyReached, (policies, reached, more) => {
        const further = new Map(
          NAMES.map((host) => [host, Math.max(reached.get(host) ?? 0, more.get(host) ?? 0)] as const),
        );
        const now = quorumUnder(policies, reached);
        const left = policies.filter(({ policy }) => policy.version >= (now?.policyVersion ?? 0));
        expect(quorumUnder(left, reached)).toEqual(now);
        const then = quorumUnder(left, further);
        expect(then?.sequence).toBeGreaterThanOrEqual(now?.sequence ?? 0);
        expect(then?.policyVersion).toBeGreaterThanOrEqual(now?.policyVersion ?? 0);
      }),
    );
  });

  it('has a quorum under the policy in force, and under each pending one for its own event and later ones', () => {
    fc.assert(
      fc.property(anyPolicies, anyReached, (policies, reached) => {
        const { policyVersion, sequence } = quorumUnder(policies, reached) ?? { policyVersion: 0, sequence: 0 };
        for (const { policy, sequence: setAt } of policies) {
          const counts = policy.version === policyVersion || (policy.version > policyVersion && sequence >= setAt);
          if (counts) expect(weightAt(policy, reached, sequence)).toBeGreaterThanOrEqual(policy.required);
        }
      }),
    );
  });

  it('is known to hosts that meet every quorum of the newest policy that one of them has', () => {
    fc.assert(
      fc.property(anyPolicies, anyReached, fc.subarray(NAMES), (policies, reached, asked) => {
        const { sequence } = quorumUnder(policies, reached) ?? { sequence: 0 };
        const most = Math.max(0, ...asked.map((host) => reached.get(host) ?? 0));
        const newest = policies.findLast(({ sequence: setAt }) => setAt <= most);
        fc.pre(newest !== undefined && meetsEveryQuorum(newest.policy, new Set(asked)));
        expect(most).toBeGreaterThanOrEqual(sequence);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('hosts that meet every quorum', () => {
  it('share a host with every possible quorum, and others do not', () => {
    fc.assert(
      fc.property(anyPolicy(), fc.subarray(NAMES), (policy, names) => {
        const some = new Set(names.filter((name) => policy.hosts.some(({ host }) => host === name)));
        const rest = policy.hosts.filter(({ host }) => !some.has(host)).map(({ host }) => host);
        const isAvoidable = weightOf(policy, new Set(rest)) >= policy.required;
        expect(meetsEveryQuorum(policy, some)).toBe(!isAvoidable);
      }),
    );
  });

  it('are more than half of all when two quorums always share one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), (weight) => {
        const majority = majorityOf(weight);
        expect(2 * majority).toBeGreaterThan(weight);
        expect(2 * (majority - 1)).toBeLessThanOrEqual(weight);
      }),
    );
  });
});

describe('a host', () => {
  it('receives events while it is active, and when it is full', () => {
    expect((['ACTIVE', 'FULL', 'SUSPENDED', 'BLOCKED', 'RETIRED'] as const).filter(isServed)).toEqual([
      'ACTIVE',
      'FULL',
    ]);
  });
});

describe('the hosts of a policy without some', () => {
  const gone = new Set(['a']);

  it('meet it when they have the weight, and have all signed for what a quorum has', () => {
    const policy = of(1, 2, 'a', 'b', 'c');
    expect(meetsWithout(policy, gone, reachedBy({ b: 7, c: 7 }), 7)).toBe(true);
    expect(meetsWithout(policy, gone, reachedBy({ a: 9, b: 7, c: 6 }), 7)).toBe(false);
    expect(meetsWithout(policy, new Set(['a', 'b']), reachedBy({ b: 9, c: 9 }), 7)).toBe(false);
  });

  it('do not meet it without the weight, even when nothing was signed for yet', () => {
    expect(meetsWithout(of(1, 2, 'a', 'b'), gone, reachedBy({}), 0)).toBe(false);
    expect(meetsWithout(of(1, 1, 'a'), gone, reachedBy({}), 0)).toBe(false);
  });

  it('meet a policy that does not name the missing hosts, whatever events they have', () => {
    expect(meetsWithout(of(1, 2, 'b', 'c'), gone, reachedBy({}), 7)).toBe(true);
  });

  it('meet it or not, independently of the signatures of the missing hosts', () => {
    fc.assert(
      fc.property(
        anyPolicy(),
        anyReached,
        anyReached,
        fc.integer({ min: 0, max: 40 }),
        (policy, reached, other, to) => {
          const changed = new Map(reached).set('a', other.get('a') ?? 0);
          expect(meetsWithout(policy, gone, changed, to)).toBe(meetsWithout(policy, gone, reached, to));
        },
      ),
    );
  });
});
