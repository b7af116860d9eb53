import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_POLICIES,
  isFinalized,
  policyFor,
  sumOfWeights,
  weightOf,
  withAck,
  type Ack,
} from '../../../../src/infra/offgrid/broker/quorum.js';

const NOW = 1_800_000_000;
const acks = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 3 }),
    ts: fc.integer({ min: NOW - 10_000, max: NOW + 10 }),
    w: fc.double({ min: 0, max: 100, noNaN: true }),
  }),
  { selector: ({ id }) => id, maxLength: 8 },
);
const policy = fc.record({
  decayHalfLifeS: fc.integer({ min: 0, max: 5_000 }),
  maxAgeS: fc.integer({ min: 0, max: 12_000 }),
});
const withPolicy = (fields: Partial<typeof DEFAULT_POLICIES>) => ({ ...DEFAULT_POLICIES, ...fields });

describe('the sum of weights', () => {
  it('is the plain sum where nothing decays', () => {
    fc.assert(
      fc.property(acks, (any) => {
        const sum = any.reduce((total, { w }) => total + w, 0);
        expect(sumOfWeights(DEFAULT_POLICIES, any, NOW)).toBeCloseTo(sum, 9);
      }),
    );
  });

  it('never grows while time passes, and is never more than the plain sum', () => {
    fc.assert(
      fc.property(acks, policy, fc.nat(20_000), (any, fields, passed) => {
        const now = sumOfWeights(withPolicy(fields), any, NOW);
        expect(now).toBeLessThanOrEqual(sumOfWeights(DEFAULT_POLICIES, any, NOW) + 1e-9);
        expect(sumOfWeights(withPolicy(fields), any, NOW + passed)).toBeLessThanOrEqual(now);
      }),
    );
  });

  it('never shrinks with one more node', () => {
    fc.assert(
      fc.property(acks, policy, (any, fields) => {
        const sums = any.map((_, count) => sumOfWeights(withPolicy(fields), any.slice(0, count), NOW));
        expect(sums).toEqual([...sums].sort((a, b) => a - b));
      }),
    );
  });

  it('halves with every half-life', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.nat(20), (decayHalfLifeS, halvings) => {
        const ack = { id: 'a', ts: NOW - halvings * decayHalfLifeS, w: 8 };
        expect(sumOfWeights(withPolicy({ decayHalfLifeS }), [ack], NOW)).toBeCloseTo(8 * 0.5 ** halvings, 9);
      }),
    );
  });

  it('leaves out acks past the maximum age, but not those of exactly that age', () => {
    const ack = { id: 'a', ts: NOW, w: 2 };
    expect(sumOfWeights(withPolicy({ maxAgeS: 60 }), [ack], NOW + 60)).toBe(2);
    expect(sumOfWeights(withPolicy({ maxAgeS: 60 }), [ack], NOW + 61)).toBe(0);
  });

  it('counts an ack from the future, after the clock was set back, as new', () => {
    const ack = { id: 'a', ts: NOW + 3_600, w: 2 };
    expect(sumOfWeights(withPolicy({ decayHalfLifeS: 10, maxAgeS: 60 }), [ack], NOW)).toBe(2);
  });

  it('counts only the last ack of each node', () => {
    const ackLists = fc.array(fc.record({ id: fc.constantFrom('a', 'b', 'c'), ts: fc.nat(100), w: fc.nat(9) }));
    fc.assert(
      fc.property(ackLists, (sent) => {
        const kept = sent.reduce<Ack[]>((known, ack) => withAck(known, ack), []);
        const last = new Map(sent.map((ack) => [ack.id, ack.w]));
        const sum = [...last.values()].reduce((total, w) => total + w, 0);
        expect(kept.length).toBe(last.size);
        expect(sumOfWeights(DEFAULT_POLICIES, kept, 100)).toBe(sum);
      }),
    );
  });
});

describe('a record', () => {
  it('is final from the required sum on, within rounding', () => {
    expect(isFinalized(false, 1.999, 2)).toBe(false);
    expect(isFinalized(false, 2, 2)).toBe(true);
    expect(0.7 + 0.1).toBeLessThan(0.8);
    expect(isFinalized(false, 0.7 + 0.1, 0.8)).toBe(true);
  });

  it('remains final however the sum changes', () => {
    expect(isFinalized(true, 0, 2)).toBe(true);
  });
});

describe('the policy of a kind', () => {
  const policies = {
    ...DEFAULT_POLICIES,
    weights: new Map([['a', 2]]),
    maxAgeS: 10,
    kinds: new Map([['replica', { weightDefault: 0, maxAgeS: 0 }]]),
  };

  it('has its own fields, and the general ones for the rest', () => {
    expect(policyFor(policies, 'replica')).toEqual({
      weightDefault: 0,
      weights: new Map([['a', 2]]),
      decayHalfLifeS: 0,
      maxAgeS: 0,
    });
  });

  it.each([undefined, 'upload', '__proto__'])('is the general one for %s', (kind) => {
    expect(policyFor(policies, kind)).toMatchObject({ weightDefault: 1, maxAgeS: 10 });
  });

  it('has a weight for a named node, and a default for others', () => {
    expect(weightOf(policyFor(policies), 'a')).toBe(2);
    expect(weightOf(policyFor(policies), 'toString')).toBe(1);
    expect(weightOf(policyFor(policies, 'replica'), 'b')).toBe(0);
  });
});
