import { vi } from 'vitest';
import type * as ReadingRules from '../../src/domain/reading.js';
import { isWithout } from './controls.js';

/** src/domain/reading.js, with what a control leaves out. */

const real = await vi.importActual<typeof ReadingRules>('../../src/domain/reading.js');

export const { policiesInPlay, higher, tipsOf, isPossible } = real;

export function decideReading(reader: ReadingRules.Reader): ReadingRules.Reading {
  const { heard, gotten, relations } = reader;
  const related = (changed: Partial<ReadingRules.Relations>) =>
    real.decideReading({
      ...reader,
      relations: {
        isOneBeginning: (a, b) => relations.isOneBeginning(a, b),
        common: (a, b) => relations.common(a, b),
        isQuorumOn: (of, tree) => relations.isQuorumOn(of, tree),
        ...changed,
      },
    });
  if (isWithout('policiesInPlay')) {
    const policies = (tree: ReadingRules.ShownTree) => gotten.policies(tree).slice(-1);
    return real.decideReading({ ...reader, gotten: { missing: (tree) => gotten.missing(tree), policies } });
  }
  if (isWithout('dishonestWeight')) return real.decideReading({ ...reader, dishonest: 0 });
  if (isWithout('readWeight')) {
    const policies = (tree: ReadingRules.ShownTree) =>
      gotten.policies(tree).map((one) => ({ ...one, policy: { hosts: one.policy.hosts, required: 1_000 } }));
    return real.decideReading({ ...reader, gotten: { missing: (tree) => gotten.missing(tree), policies } });
  }
  if (isWithout('quorumInReading')) {
    const silent = <T extends ReadingRules.ShownTree>(tree: T | null) => tree && { ...tree, quorum: 0 };
    return real.decideReading({
      ...reader,
      heard: heard.map((one) => ({ ...one, tree: silent(one.tree), staged: silent(one.staged) })),
    });
  }
  if (isWithout('begun')) return related({ isOneBeginning: () => true });
  if (isWithout('fork')) {
    const isOneEpoch = (a: ReadingRules.ShownTree, b: ReadingRules.ShownTree) =>
      a.line === b.line && a.epoch === b.epoch && relations.isOneBeginning(a, b);
    return related({
      common: (a, b) => (isOneEpoch(a, b) ? Math.min(a.sequence, b.sequence) : relations.common(a, b)),
    });
  }
  const reading = real.decideReading(reader);
  if (isWithout('leavingOut') && reading.is === 'READ') {
    const counted = heard.filter((one) => one.isCounted && one.tree !== null);
    if (counted.some(({ host }) => !reading.counted.includes(host)))
      return { is: 'REFUSED', why: 'MISSING', about: reading.best };
  }
  return reading;
}
