import { describe, expect, it } from 'vitest';
import { decideAcceptedLoss } from '../../src/domain/accepted-loss.js';
import {
  decideReading,
  policiesInPlay,
  type HeardHost,
  type PolicyOnHistory,
  type Reader,
  type ShownTree,
} from '../../src/domain/reading.js';

/** A tree of a history in which each letter is an event; `P`, `Q` and `V` set policies. */
interface NamedTree extends ShownTree {
  readonly history: string;
  readonly begun: string;
}

function tree(history: string, { epoch = 1, line = 1, quorum = 0, begun = 'P' } = {}): NamedTree {
  return { history, begun, epoch, line, quorum, sequence: history.length };
}

const hostsOf = (names: string) =>
  Array.from(names, (host) => ({ host, weight: 1, url: '', verifyKey: '', confirmed: true }));
const POLICIES: Readonly<Record<string, Pick<PolicyOnHistory, 'policy'>>> = {
  P: { policy: { hosts: hostsOf('abc'), required: 2 } },
  Q: { policy: { hosts: hostsOf('cde'), required: 2 } },
  V: { policy: { hosts: hostsOf('abcde'), required: 3 } },
};

function head(host: string, shown: NamedTree | null, staged: NamedTree | null = null, isCounted = true): HeardHost {
  return { host, tree: shown, staged, isCounted };
}

type Changed = Partial<Reader> & { readonly withheld?: readonly string[] };

/** What is known of hosts; for histories that begin with a `withheld` prefix, no host delivers the prefix's last event. */
function readerOf(heard: readonly HeardHost[], changed: Changed) {
  const { withheld = [], ...rest } = changed;
  const tried = new Set<ShownTree>();
  const historyOf = (one: ShownTree) => (one as NamedTree).history;
  const common = (a: ShownTree, b: ShownTree) => {
    let same = 0;
    while (same < Math.min(a.sequence, b.sequence) && historyOf(a)[same] === historyOf(b)[same]) same += 1;
    return same;
  };
  const reader: Reader = {
    heard,
    dishonest: 0,
    relations: {
      common,
      isOneBeginning: (a, b) => (a as NamedTree).begun === (b as NamedTree).begun,
      isQuorumOn: (of, one) => historyOf(one).startsWith(historyOf(of).slice(0, of.quorum)),
    },
    gotten: {
      missing: (one) =>
        tried.has(one)
          ? withheld.filter((prefix) => historyOf(one).startsWith(prefix)).map((prefix) => prefix.length)
          : undefined,
      policies: (one) =>
        Array.from(historyOf(one)).flatMap((event, i) => {
          const set = POLICIES[event];
          return set === undefined ? [] : [{ ...set, line: 1, sequence: i + 1 }];
        }),
    },
    ...rest,
  };
  return { reader, tried };
}

/** Decides, after fetching every tree that is requested. */
function decided<D extends { readonly is: string }>(
  { reader, tried }: ReturnType<typeof readerOf>,
  decide: (reader: Reader) => D | { readonly is: 'OPEN'; readonly get: ShownTree },
) {
  for (;;) {
    const decision = decide(reader);
    if (!('get' in decision)) return decision;
    expect(tried.has(decision.get), 'it asks for a tree once').toBe(false);
    tried.add(decision.get);
  }
}

const read = (heard: readonly HeardHost[], changed: Changed = {}) => decided(readerOf(heard, changed), decideReading);
const accept = (heard: readonly HeardHost[], changed: Changed = {}, chosen?: ShownTree) =>
  decided(readerOf(heard, changed), (reader) => decideAcceptedLoss(reader, chosen));

const refused = (why: string) => expect.objectContaining({ is: 'REFUSED', why });

describe('a reading', () => {
  it('is of the best tree: by line, epoch and length', () => {
    const best = tree('Pxyz', { epoch: 2 });
    const reading = read([head('a', tree('Pxqqq')), head('b', best), head('c', null)]);
    expect(reading).toMatchObject({ is: 'READ', best, history: best, tail: null, quorum: 0 });
  });

  it('of nothing is refused', () => {
    expect(read([])).toEqual(refused('NOTHING'));
    expect(read([head('a', null), head('b', null)])).toEqual(refused('NOTHING'));
    expect(read([head('a', tree('Px'), null, false)])).toEqual(refused('NOTHING'));
    expect(read([head('a', tree('xy')), head('b', tree('xy'))])).toEqual(refused('POLICY'));
  });

  it('needs enough hosts, and more when some may be dishonest', () => {
    const shown = tree('Pxy');
    expect(read([head('a', shown)])).toEqual(refused('WEIGHT'));
    expect(read([head('a', shown), head('b', null)])).toMatchObject({ is: 'READ', mayLie: 0 });
    expect(read([head('a', shown), head('b', null, null, false)])).toEqual(refused('WEIGHT'));
    expect(read([head('a', shown), head('b', null)], { dishonest: 1 })).toEqual(refused('WEIGHT'));
    expect(read([head('a', shown), head('b', null), head('c', null)], { dishonest: 1 })).toMatchObject({
      ...{ is: 'READ', mayLie: 1 },
    });
  });

  it('leaves out hosts that show an event no host delivers, when the remaining hosts are enough', () => {
    const [shown, old] = [tree('Pxyz', { epoch: 2 }), tree('Px')];
    const reading = read([head('a', shown), head('b', old), head('c', old)], { withheld: ['Pxyz'] });
    expect(reading).toMatchObject({ is: 'READ', best: old, counted: ['b', 'c'] });
    expect(read([head('a', shown), head('b', old)], { withheld: ['Pxyz'] })).toEqual(refused('MISSING'));
    // Every host whose tree includes the missing event is left out.
    expect(read([head('a', shown), head('b', tree('Pxyzw')), head('c', old)], { withheld: ['Pxyz'] })).toEqual(
      refused('MISSING'),
    );
  });

  it('does not leave out a host that shows that more was at quorum', () => {
    const liar = tree('Pxyz', { epoch: 2, quorum: 4 });
    const reading = read([head('a', liar), head('b', tree('Px')), head('c', tree('Px'))], { withheld: ['Pxyz'] });
    expect(reading).toEqual(refused('QUORUM'));
    const staged = head('a', null, tree('Pxqq', { epoch: 3, quorum: 3 }));
    expect(read([staged, head('b', tree('Pxyz')), head('c', tree('Pxyz'))])).toEqual(refused('QUORUM'));
    // A host that is not counted prevents the reading as well.
    expect(read([{ ...staged, isCounted: false }, head('b', tree('Pxyz')), head('c', null)])).toEqual(
      refused('QUORUM'),
    );
  });

  it('takes the quorum, with its epoch, from trees whose quorum is on the history', () => {
    const reading = read([
      head('a', tree('Pxyz', { epoch: 5, quorum: 2 })),
      head('b', tree('Pxy', { epoch: 4, quorum: 3 })),
      head('c', null, tree('Pqq', { epoch: 3, quorum: 1 })),
    ]);
    expect(reading).toMatchObject({ is: 'READ', quorum: 3, quorumEpoch: 4 });
  });

  it('is never of a lower line than a shown one, or of another line with the same number', () => {
    const two = { line: 2, begun: 'x' };
    const [first, above] = [tree('Pxyz', { epoch: 9 }), tree('Px', two)];
    expect(read([head('a', above), head('b', first), head('c', first)])).toMatchObject({ is: 'READ', best: above });
    expect(read([head('a', above), head('b', first), head('c', first)], { withheld: ['Px'] })).toEqual(
      refused('MISSING'),
    );
    const gone = tree('Pq', two);
    expect(read([head('a', gone), head('b', first), head('c', first)], { withheld: ['Pq'] })).toEqual(refused('LINE'));
    const beside = tree('Py', { line: 2, begun: 'y' });
    expect(read([head('a', above), head('b', beside), head('c', first)])).toEqual(refused('LINE'));
    // Quorums of lower lines do not prevent it.
    const old = tree('Pzz', { epoch: 9, quorum: 3 });
    expect(read([head('a', above), head('b', above), head('c', old)])).toMatchObject({ is: 'READ', best: above });
  });

  it('of an epoch that forked is of the only end that can have been at quorum', () => {
    const [left, right] = [tree('PxLL'), tree('PxR')];
    const chosen = { is: 'READ', history: right, otherEnds: [left] };
    expect(read([head('a', left), head('b', right), head('c', right)])).toMatchObject(chosen);
    const one = tree('Px');
    expect(read([head('a', one), head('b', right), head('c', right)])).toMatchObject({ ...chosen, otherEnds: [] });
    expect(read([head('a', left), head('b', right), head('c', left)])).toMatchObject({ is: 'READ', history: left });
    // With two hosts of three, either may have been.
    expect(read([head('a', left), head('b', right)])).toEqual(refused('FORK'));
    // A host whose tree ends within the common part supports neither end.
    expect(read([head('a', left), head('b', right), head('c', tree('Px'))])).toEqual(refused('FORK'));
    const [first, second, both] = [tree('VxL'), tree('VxR'), tree('Vx')];
    const five = [head('a', first), head('b', second), head('c', second)];
    expect(read([...five, head('d', both)])).toMatchObject({ is: 'READ', history: second });
    expect(read(five)).toEqual(refused('FORK'));
    expect(read([head('a', left), head('b', right), head('c', right)], { dishonest: 1 })).toEqual(refused('FORK'));
    // Every event of the end that counts must be available.
    expect(read([head('a', left), head('b', right), head('c', right)], { withheld: ['PxR'] })).toEqual(
      refused('MISSING'),
    );
  });

  it('includes an extension of the history, up to the first policy', () => {
    const history = tree('Pxy', { epoch: 4 });
    const staged = tree('PxyzwQv', { epoch: 5 });
    const reading = read([head('a', history, staged), head('b', history, tree('Pxyz'))]);
    expect(reading).toMatchObject({ is: 'READ', history, tail: { tree: staged, length: 5 } });
    expect(read([head('a', history, staged), head('b', history, tree('Pxyz'))], { withheld: ['Pxyzw'] })).toMatchObject(
      {
        ...{ is: 'READ', history, tail: { length: 4 } },
      },
    );
    expect(read([head('a', history, tree('PxyQ')), head('b', history, tree('Pqyz'))])).toMatchObject({ tail: null });
  });

  it('must meet every policy in play', () => {
    const shown = tree('PxyQz', { quorum: 3 });
    expect(read([head('a', shown), head('b', shown)])).toEqual(refused('WEIGHT'));
    expect(read([head('a', shown), head('b', shown), head('d', shown), head('e', null)])).toMatchObject({ is: 'READ' });
    // When the hosts that do not show the new policy are enough alone, it was never at quorum.
    const before = tree('Pxy', { quorum: 3 });
    const rest = [head('b', before), head('a', before)];
    expect(read([head('c', shown), ...rest])).toMatchObject({ is: 'READ', history: before, counted: ['b', 'a'] });
    expect(read([head('c', shown), head('b', shown), head('a', before)])).toEqual(refused('WEIGHT'));
    // Once the new policy was at quorum, the old one no longer applies.
    const later = tree('PxyQz', { quorum: 4 });
    expect(read([head('d', later), head('e', later)])).toMatchObject({ is: 'READ' });
  });
});

describe('policies in play', () => {
  const set = (line: number, sequence: number): PolicyOnHistory => ({ ...POLICIES['P']!, line, sequence });
  const numbers = (policies: readonly PolicyOnHistory[]) => policies.map(({ sequence }) => sequence);

  it('are those of the highest line, from the one in force at the quorum', () => {
    const policies = [set(1, 1), set(1, 5), set(1, 9)];
    expect(numbers(policiesInPlay(policies, 0))).toEqual([1, 5, 9]);
    expect(numbers(policiesInPlay(policies, 4))).toEqual([1, 5, 9]);
    expect(numbers(policiesInPlay(policies, 5))).toEqual([5, 9]);
    expect(numbers(policiesInPlay(policies, 99))).toEqual([9]);
    expect(numbers(policiesInPlay([...policies, set(2, 12), set(2, 15)], 7))).toEqual([12, 15]);
    expect(policiesInPlay([], 3)).toEqual([]);
  });
});

describe('an accepted loss', () => {
  it('takes the best head, although too few hosts are heard, or none whose key is named', () => {
    const best = tree('Pxyz', { epoch: 2 });
    expect(accept([head('a', best)])).toEqual({ is: 'TAKEN', tree: best, length: 4 });
    expect(accept([head('a', best, null, false), head('b', tree('Px'))])).toMatchObject({ tree: best, length: 4 });
  });

  it('takes no head that lacks a quorum which can be fetched', () => {
    const [high, low] = [tree('Pq', { epoch: 9 }), tree('Pxyz', { epoch: 2, quorum: 3 })];
    expect(accept([head('a', high), head('b', low)])).toMatchObject({ tree: low, length: 4 });
    // A quorum that cannot be fetched does not bind.
    expect(accept([head('a', high), head('b', low)], { withheld: ['Pxy'] })).toMatchObject({ tree: high, length: 2 });
  });

  it('prefers a higher line: lower ones no longer bind', () => {
    const [old, fresh] = [tree('Pxyz', { epoch: 7, quorum: 4 }), tree('PQ', { epoch: 8, line: 2, begun: 'PQ' })];
    expect(accept([head('a', old), head('b', fresh)])).toMatchObject({ tree: fresh, length: 2 });
  });

  it('prefers a head that can be fetched completely to a better one that cannot', () => {
    const [better, whole] = [tree('Pxyz', { epoch: 3 }), tree('Pxy')];
    const reading = accept([head('a', better), head('b', whole)], { withheld: ['Pxyz'] });
    expect(reading).toMatchObject({ tree: whole, length: 3 });
  });

  it('takes the tree that can be read furthest, staged or not, when no head can be fetched completely', () => {
    const [shown, staged] = [tree('Pxyz', { epoch: 3 }), tree('Pxqrs', { epoch: 4 })];
    const reading = accept([head('a', shown, staged)], { withheld: ['Pxyz', 'Pxqrs'] });
    expect(reading).toEqual({ is: 'TAKEN', tree: staged, length: 4 });
    const bound = tree('Pxyz', { epoch: 3, quorum: 3 });
    expect(accept([head('a', bound, staged)], { withheld: ['Pxyz', 'Pxqrs'] })).toMatchObject({
      ...{ tree: bound, length: 3 },
    });
  });

  it('takes the only end of a fork that can have been at quorum, and requires a choice between several', () => {
    const [one, other] = [tree('Pxyz'), tree('Pxqr')];
    expect(accept([head('a', one), head('b', one), head('c', other)])).toMatchObject({ tree: one, length: 4 });
    const open = accept([head('a', one), head('b', other)]);
    expect(open).toMatchObject({ is: 'FORKED', tips: [one, other] });
    expect(accept([head('a', one), head('b', other)], {}, other)).toEqual({ is: 'TAKEN', tree: other, length: 4 });
    expect(accept([head('a', one), head('b', other)], { withheld: ['Pxqr'] }, other)).toMatchObject({ length: 3 });
  });

  it('takes nothing when nothing can be fetched', () => {
    expect(accept([])).toEqual({ is: 'NOTHING' });
    expect(accept([head('a', null)])).toEqual({ is: 'NOTHING' });
    expect(accept([head('a', tree('P'))], { withheld: ['P'] })).toEqual({ is: 'NOTHING' });
  });
});
