import { describe, expect, it } from 'vitest';
import {
  decideElection,
  decideMeeting,
  isElectorate,
  type Ballot,
  type Grantor,
  type OwnHistory,
  type Shown,
} from '../../src/domain/election.js';

const host = (name: string, weight = 1) => ({
  host: name,
  weight,
  url: `http://${name}`,
  verifyKey: '',
  confirmed: true,
});
const three = { hosts: [host('a'), host('b'), host('c')], required: 2 };

const own: OwnHistory = { line: 1, epoch: 3, base: 4, quorum: 5, isRestored: false };
const onLog: Shown = {
  ...{ line: 1, epoch: 3, sequence: 6, quorum: 5, writer: 'w' },
  ...{ isComplete: true, isOfOwnBeginning: true, isOnLog: true, isQuorumOnLog: true },
};

function ballot(granted: Record<string, Partial<Grantor>>, changed: Partial<Ballot> = {}): Ballot {
  const shown = Object.entries(granted).map(([by, one]) => [by, { tree: null, staged: null, ...one }] as const);
  const rest = { dishonest: 0, epoch: 4, signable: 5, isEveryHostHeard: false };
  return { own, policies: [three], granted: new Map(shown), ...rest, ...changed };
}

describe('an electorate', () => {
  it('knows of every quorum, with dishonest hosts among it, and can form one', () => {
    expect(isElectorate(three, new Set(['a']), 0)).toBe(false);
    expect(isElectorate(three, new Set(['a', 'b']), 0)).toBe(true);
    expect(isElectorate(three, new Set(['a', 'b']), 1)).toBe(false);
    expect(isElectorate(three, new Set(['a', 'b', 'c']), 1)).toBe(true);
    // When every host is required, one host knows of every quorum but cannot form one.
    const all = { ...three, required: 3 };
    expect(isElectorate(all, new Set(['a']), 0)).toBe(false);
    expect(isElectorate({ hosts: [host('a', 2), host('b')], required: 2 }, new Set(['a']), 0)).toBe(true);
  });
});

describe('an election', () => {
  it('is open until every policy in play is met', () => {
    const other = { hosts: [host('c'), host('d'), host('e')], required: 2 };
    expect(decideElection(ballot({ a: {} }))).toMatchObject({ is: 'OPEN' });
    expect(decideElection(ballot({ a: {}, b: {} }, { policies: [] }))).toMatchObject({ is: 'OPEN' });
    expect(decideElection(ballot({ a: {}, b: {} }, { policies: [three, other] }))).toMatchObject({ is: 'OPEN' });
    expect(decideElection(ballot({ a: {}, c: {}, d: {} }, { policies: [three, other] }))).toMatchObject({
      is: 'ELECTED',
    });
  });

  it('is won with a base of all that is known: the own base, the own quorum and the trees of the hosts', () => {
    const won = { is: 'ELECTED', quorum: 5, quorumEpoch: undefined, signable: 5, leftOut: [] };
    expect(decideElection(ballot({ a: {}, b: {} }))).toEqual({ ...won, base: 5 });
    expect(decideElection(ballot({ a: {}, b: {} }, { own: { ...own, base: 9 } }))).toEqual({ ...won, base: 9 });
    expect(decideElection(ballot({ a: { tree: { ...onLog, sequence: 7 } }, b: { tree: onLog } }))).toEqual({
      ...won,
      base: 7,
    });
    // A staged tree does not count as a head.
    expect(decideElection(ballot({ a: { staged: { ...onLog, sequence: 7 } }, b: {} }))).toEqual({ ...won, base: 5 });
  });

  it('learns quorums from trees, and does not sign for one that was reached above its epoch', () => {
    const staged = { ...onLog, epoch: 9, quorum: 8, isComplete: false };
    const tree = { ...onLog, epoch: 3, quorum: 6 };
    expect(decideElection(ballot({ a: { staged }, b: { tree } }))).toMatchObject({
      ...{ quorum: 8, quorumEpoch: 9, signable: 6, base: 8 },
    });
  });

  it.each([
    ['a later epoch', { epoch: 5 }, 'BEHIND'],
    ['this log’s own epoch', { epoch: 3 }, 'FORKED'],
    ['a line above', { line: 2, epoch: 1 }, 'LINE'],
    ['a line of this number that began elsewhere', { epoch: 1, isOfOwnBeginning: false }, 'LINE'],
  ])('is lost to a head of %s that is not on the log', (_what, changed, news) => {
    const tree = { ...onLog, isOnLog: false, ...changed };
    expect(decideElection(ballot({ a: { tree }, b: {} }))).toEqual({ is: 'STOPPED', news, by: 'a', shown: tree });
  });

  it('is not lost to a head of an earlier epoch, nor to one of an earlier line', () => {
    for (const changed of [{ epoch: 2 }, { line: 0, epoch: 9, isQuorumOnLog: false }])
      expect(decideElection(ballot({ a: { tree: { ...onLog, isOnLog: false, ...changed } }, b: {} }))).toMatchObject({
        ...{ is: 'ELECTED', base: 5 },
      });
  });

  it('is lost to a quorum that is not on the log, in a head or in a staged tree', () => {
    const shown = { ...onLog, epoch: 1, isQuorumOnLog: false };
    const lost = { is: 'STOPPED', news: 'BEHIND', by: 'b' };
    expect(decideElection(ballot({ a: {}, b: { tree: shown } }))).toEqual({ ...lost, shown });
    // The outcome names the tree that shows the quorum, and not the other tree of the head.
    for (const [news, staged] of [
      ['BEHIND', { ...shown, isComplete: false }],
      ['LINE', { ...shown, line: 2 }],
    ] as const)
      expect(decideElection(ballot({ a: {}, b: { tree: onLog, staged } }))).toEqual({ ...lost, news, shown: staged });
  });

  it('of a restored log leaves out hosts that show other events, when the remaining hosts are enough', () => {
    const restored = { ...own, isRestored: true };
    const tree = { ...onLog, epoch: 7, isOnLog: false };
    const leftOut = [{ by: 'a', shown: tree }];
    expect(decideElection(ballot({ a: { tree }, b: {}, c: {} }, { own: restored }))).toMatchObject({
      ...{ is: 'ELECTED', leftOut, base: 5 },
    });
    expect(decideElection(ballot({ a: { tree }, b: {} }, { own: restored }))).toEqual({ is: 'OPEN', leftOut });
    expect(decideElection(ballot({ a: { tree }, b: {} }, { own: restored, isEveryHostHeard: true }))).toEqual({
      ...{ is: 'STOPPED', news: 'BEHIND', by: 'a', shown: tree },
    });
    // A host that shows a higher line is not left out.
    const above = { ...tree, line: 2 };
    expect(decideElection(ballot({ a: { tree: above }, b: {}, c: {} }, { own: restored }))).toEqual({
      ...{ is: 'STOPPED', news: 'LINE', by: 'a', shown: above },
    });
  });
});

describe('a tree that is shown to an elected process', () => {
  const elected = { own: { ...own, epoch: 4 }, epoch: 4, writer: 'w' };
  it.each([
    ['on the log', {}, 'head', 'GO_ON'],
    ['of its own epoch and name, not on the log', { epoch: 4, isOnLog: false }, 'head', 'FORKED'],
    ['of its own epoch and name, staged', { epoch: 4, isOnLog: false, isComplete: false }, 'staged', 'FORKED'],
    ['of its own epoch and another name', { epoch: 4, writer: 'x', isOnLog: false }, 'head', 'CLAIM_AGAIN'],
    ['of an epoch above', { epoch: 5, isOnLog: false }, 'head', 'CLAIM_AGAIN'],
    ['of an epoch above, staged only', { epoch: 5, isOnLog: false, isComplete: false }, 'staged', 'GO_ON'],
    ['of an epoch below', { isOnLog: false }, 'head', 'GO_ON'],
    ['with a quorum that is not on the log', { epoch: 1, isQuorumOnLog: false }, 'staged', 'CLAIM_AGAIN'],
    ['of a line above', { line: 2 }, 'head', 'LINE'],
  ] as const)('%s', (_what, changed, of, outcome) => {
    expect(decideMeeting({ ...onLog, ...changed }, elected, of)).toBe(outcome);
  });

  it.each(['head', 'staged'] as const)(
    'of its own epoch and name, when the log has since been elected above (%s)',
    (of) => {
      const superseded = { ...elected, own: { ...own, epoch: 5 } };
      expect(decideMeeting({ ...onLog, epoch: 4, isOnLog: false }, superseded, of)).toBe('CLAIM_AGAIN');
    },
  );
});
