import { vi } from 'vitest';
import type * as Election from '../../src/domain/election.js';
import { isWithout } from './controls.js';

/** src/domain/election.js, with what a control leaves out. */

const real = await vi.importActual<typeof Election>('../../src/domain/election.js');

export const { isElectorate } = real;

export function decideElection(ballot: Election.Ballot): Election.Outcome {
  const { own, policies, granted, epoch, signable } = ballot;
  if (isWithout('policiesInPlay')) return real.decideElection({ ...ballot, policies: policies.slice(-1) });
  if (isWithout('ownRank')) return real.decideElection({ ...ballot, own: { ...own, epoch: 0 } });
  if (isWithout('dishonestWeight')) return real.decideElection({ ...ballot, dishonest: 0 });
  if (isWithout('electorate')) {
    // The hosts that have granted are enough.
    const some = policies.map(({ hosts }) => hosts.filter(({ host }) => granted.has(host)));
    const few = some.map((hosts) => ({ hosts, required: hosts.reduce((sum, { weight }) => sum + weight, 0) }));
    return real.decideElection({ ...ballot, policies: few });
  }
  if (isWithout('begun')) {
    const same = (shown: Election.Shown | null) => shown && { ...shown, isOfOwnBeginning: true };
    const shown = [...granted].map(
      ([host, { tree, staged }]) => [host, { tree: same(tree), staged: same(staged) }] as const,
    );
    return real.decideElection({ ...ballot, granted: new Map(shown) });
  }
  if (isWithout('election') && policies.length > 0 && granted.size > 0) {
    const { base, quorum } = own;
    return { is: 'ELECTED', base: Math.max(base, quorum), quorum, quorumEpoch: epoch, signable, leftOut: [] };
  }
  return real.decideElection(ballot);
}

export function decideMeeting(
  ...[shown, elected, of]: Parameters<typeof Election.decideMeeting>
): ReturnType<typeof Election.decideMeeting> {
  if (isWithout('meeting') || isWithout('election')) return 'GO_ON';
  if (isWithout('begun')) return real.decideMeeting({ ...shown, isOfOwnBeginning: true }, elected, of);
  return real.decideMeeting(shown, elected, of);
}
