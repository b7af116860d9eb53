import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextPolicy, standingOf, type MetHost, type WantedHost, type WantedPolicy } from '../../src/domain/policy.js';
import { majorityOf, totalWeight, type Policy } from '../../src/domain/replication.js';

const NO_HOSTS: ReadonlySet<string> = new Set();

/** The one whose key is called by this name. */
const met = (host: string): MetHost => ({ host, verifyKey: `key of ${host}` });
const wanted = (url: string, given: Partial<WantedHost> = {}): WantedHost => ({ url, weight: 1, ...given });
const everyone = (...pairs: readonly (readonly [url: string, host: string])[]) =>
  new Map(pairs.map(([url, host]) => [url, met(host)]));

/** The policy that results when these hosts are wanted and those answer; a majority is required. */
function policyOf(hosts: readonly WantedHost[], answers: ReadonlyMap<string, MetHost>, current?: Policy): Policy {
  const policy = nextPolicy({ hosts, required: undefined }, current, answers, NO_HOSTS);
  if (policy === undefined) throw new Error('no policy follows');
  return policy;
}

const ABC = [wanted('a'), wanted('b'), wanted('c')];
const ALL = everyone(['a', 'A'], ['b', 'B'], ['c', 'C']);

describe('the standing of a wanted host', () => {
  it('is unmet before it has answered', () => {
    expect(standingOf(wanted('a'), undefined, undefined)).toBe('UNMET');
    expect(standingOf(wanted('a', { fingerprint: 'A' }), undefined, undefined)).toBe('UNMET');
  });

  it('is that of the host that answers first, unconfirmed until its key is named', () => {
    expect(standingOf(wanted('a'), undefined, met('A'))).toEqual({
      host: { host: 'A', url: 'a', verifyKey: 'key of A', weight: 1, confirmed: false },
    });
    expect(standingOf(wanted('a', { fingerprint: 'A' }), undefined, met('A'))).toMatchObject({
      host: { host: 'A', confirmed: true },
    });
  });

  it('is unexpected when the answering key is neither the named one nor the known one', () => {
    const current = policyOf(ABC, ALL);
    expect(standingOf(wanted('a', { fingerprint: 'A' }), undefined, met('X'))).toEqual({ unexpected: 'X' });
    expect(standingOf(wanted('a'), current, met('X'))).toEqual({ unexpected: 'X' });
    expect(standingOf(wanted('a', { fingerprint: 'X' }), current, met('X'))).toMatchObject({
      host: { host: 'X', confirmed: true },
    });
  });

  it('remains the one in the policy while it does not answer, also under a new URL', () => {
    const current = policyOf(ABC, ALL);
    expect(standingOf(wanted('a', { weight: 3 }), current, undefined)).toMatchObject({
      host: { host: 'A', weight: 3, confirmed: false },
    });
    expect(standingOf(wanted('new', { fingerprint: 'A' }), current, undefined)).toMatchObject({
      host: { host: 'A', url: 'new', verifyKey: 'key of A', confirmed: true },
    });
  });

  it('remains confirmed once it was', () => {
    const current = policyOf([wanted('a', { fingerprint: 'A' }), ...ABC.slice(1)], ALL);
    expect(standingOf(wanted('a'), current, met('A'))).toMatchObject({ host: { confirmed: true } });
  });
});

describe('the next policy', () => {
  it('names the hosts that answered, and requires more than half of the wanted weight', () => {
    const policy = policyOf(ABC, everyone(['a', 'A'], ['c', 'C']));
    expect([policy.version, policy.hosts.map(({ host }) => host), policy.required]).toEqual([1, ['A', 'C'], 2]);
  });

  it('does not exist before the hosts that answered have the required weight', () => {
    expect(nextPolicy({ hosts: ABC, required: undefined }, undefined, everyone(['a', 'A']), NO_HOSTS)).toBeUndefined();
    expect(nextPolicy({ hosts: ABC, required: 1 }, undefined, everyone(['a', 'A']), NO_HOSTS)).toMatchObject({
      required: 1,
    });
    expect(nextPolicy({ hosts: [], required: undefined }, undefined, new Map(), NO_HOSTS)).toBeUndefined();
  });

  it('does not exist when it would equal the current one, in any order of hosts', () => {
    const current = policyOf(ABC, ALL);
    expect(nextPolicy({ hosts: [...ABC].reverse(), required: undefined }, current, ALL, NO_HOSTS)).toBeUndefined();
    expect(nextPolicy({ hosts: ABC, required: 3 }, current, ALL, NO_HOSTS)).toMatchObject({ version: 2, required: 3 });
  });

  it('counts one host under two URLs once', () => {
    const policy = nextPolicy(
      { hosts: ABC, required: 1 },
      undefined,
      everyone(['a', 'A'], ['b', 'A'], ['c', 'C']),
      NO_HOSTS,
    );
    expect(policy?.hosts.map(({ host, url }) => [host, url])).toEqual([
      ['A', 'a'],
      ['C', 'c'],
    ]);
  });

  it('does not accept another host at the address of a named one', () => {
    const current = policyOf(ABC, ALL);
    const answers = everyone(['a', 'A'], ['b', 'B'], ['c', 'X']);
    expect(policyOf(ABC, answers, current).hosts.map(({ host }) => host)).toEqual(['A', 'B']);
  });

  it('leaves out retired hosts, and requires no weight for them', () => {
    const current = policyOf(ABC, ALL);
    const four = [...ABC, wanted('d')];
    const answers = new Map([...ALL, ['d', met('D')] as const]);
    expect(nextPolicy({ hosts: four, required: undefined }, current, answers, new Set(['C']))).toMatchObject({
      hosts: [{ host: 'A' }, { host: 'B' }, { host: 'D' }],
      required: 2,
    });
    expect(nextPolicy({ hosts: ABC, required: undefined }, current, ALL, new Set(['A', 'B', 'C']))).toBeUndefined();
  });

  it('never requires more than the total weight', () => {
    expect(policyOf(ABC, ALL)).toMatchObject({ required: 2 });
    expect(nextPolicy({ hosts: ABC, required: 9 }, undefined, ALL, NO_HOSTS)).toMatchObject({ required: 3 });
  });

  const urls = ['a', 'b', 'c', 'd', 'e'];
  const names = ['A', 'B', 'C', 'D', 'E'];
  const wish: fc.Arbitrary<WantedPolicy> = fc.record({
    hosts: fc.uniqueArray(
      fc.record(
        {
          url: fc.constantFrom(...urls),
          weight: fc.integer({ min: 1, max: 4 }),
          fingerprint: fc.constantFrom(...names),
        },
        { requiredKeys: ['url', 'weight'] },
      ),
      { selector: ({ url }) => url, minLength: 1 },
    ),
    required: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
  });
  const answers = fc
    .uniqueArray(fc.tuple(fc.constantFrom(...urls), fc.constantFrom(...names)), { selector: ([url]) => url })
    .map((pairs) => everyone(...pairs));

  it('can be met by its hosts, names each once, and is not followed by another when nothing changes', () => {
    fc.assert(
      fc.property(wish, answers, answers, fc.subarray(names), ({ hosts, required }, first, then, gone) => {
        const retired = new Set(gone);
        let current = nextPolicy({ hosts, required }, undefined, first, NO_HOSTS);
        current = nextPolicy({ hosts, required }, current, then, retired) ?? current;
        if (current === undefined) return;
        expect(current.required).toBeGreaterThanOrEqual(1);
        expect(current.required).toBeLessThanOrEqual(totalWeight(current));
        expect(new Set(current.hosts.map(({ host }) => host)).size).toBe(current.hosts.length);
        expect(nextPolicy({ hosts, required }, current, then, retired)).toEqual(
          nextPolicy({ hosts, required }, current, then, retired),
        );
        for (const { host, url } of current.hosts) {
          const named = hosts.find((one) => one.url === url)?.fingerprint;
          if (named !== undefined) expect(host).toBe(named);
        }
      }),
    );
  });

  it('requires more than half by default, so that two quorums share a host', () => {
    fc.assert(
      fc.property(wish, answers, ({ hosts }, who) => {
        const policy = nextPolicy({ hosts, required: undefined }, undefined, who, NO_HOSTS);
        if (policy !== undefined) expect(policy.required).toBeGreaterThanOrEqual(majorityOf(totalWeight(policy)));
      }),
    );
  });
});
