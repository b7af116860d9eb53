import { missingWeight } from '../../../domain/election.js';
import { weightThatMayLie } from '../../../domain/reading.js';
import type { Policy } from '../../../domain/replication.js';
import type { Replicator } from './replicator.js';

/** Events that a host keeps staged: they do not count yet. */
export interface StagedEvents {
  /** The fingerprint of the host. */
  readonly host: string;
  /** How many first events of a history it has staged. */
  readonly events: number;
}

/** Whether what this core ships counts, and what it lacks for that. */
export interface ElectionStatus {
  /**
   * Whether enough hosts have shown that nothing newer than its log exists; null when it is not the one that
   * replicates.
   */
  readonly elected: boolean | null;
  /** The weight of hosts that must still be heard before it is; 0 once it is. */
  readonly missingWeight: number | null;
  /**
   * The weight of the hosts heard that may be dishonest, have forgotten or have been rolled back without harm; null
   * while too few are heard.
   */
  readonly mayLie: number | null;
  readonly staged: readonly StagedEvents[];
  /** Epochs that this process has claimed. */
  readonly epochs: number;
  /** Hosts that its elections have left out. */
  readonly leftOut: number;
}

const NONE = { staged: [], epochs: 0, leftOut: 0 };

/**
 * The state of a replicator's election.
 * @param policies in play
 * @param dishonest the weight of hosts that may be dishonest
 */
export function electionStatus(
  replicator: Replicator | undefined,
  policies: readonly Pick<Policy, 'hosts' | 'required'>[],
  dishonest: number,
): ElectionStatus {
  if (replicator === undefined) return { ...NONE, elected: null, missingWeight: null, mayLie: null };
  const { isElected, grantors, counts } = replicator.writer;
  const spare = weightThatMayLie(policies, grantors);
  const named = new Set(policies.flatMap(({ hosts }) => hosts.map(({ host }) => host)));
  const staged = [...named].flatMap((host) => {
    const tree = replicator.contactOf(host)?.head?.staged;
    return tree === null || tree === undefined ? [] : [{ host, events: tree.value.sequence }];
  });
  return {
    elected: isElected,
    missingWeight: isElected ? 0 : missingWeight(policies, grantors, dishonest),
    mayLie: spare < 0 ? null : spare,
    staged,
    ...counts,
  };
}
