import type { Family } from './scenery.js';
import type { More } from './steps.js';

/** What may occur more often without an ingredient. */
export type Counted = 'silent' | 'FORKED';

/** Where a control is searched for, and how its effect shows. */
interface ControlOf {
  readonly family: Family;
  /** Whether it is found soon enough for the gate. */
  readonly isQuick: boolean;
  /** What occurs more often, over all seeds, where no seed fails; by default a seed must fail. */
  readonly counted?: Counted;
  /** Steps that are taken more often in its seeds. */
  readonly more?: More;
}

/**
 * What is taken out of the product, one thing at a time, to verify that the simulation detects its absence: each is an
 * ingredient of protocol 2 that the design states is needed. `without-*.ts` stand in for modules of the product and
 * leave out what is named here.
 */
export const CONTROLS = {
  /** Every tree counts as complete immediately: a history need not reach what its epoch was elected on. */
  base: { family: 'F0', isQuick: true },
  /** A host accepts any history that it receives as its head. */
  staging: { family: 'F0', isQuick: true },
  /** A process that is started again continues under the epoch and the name of the one before. */
  epochOfProcess: { family: 'F0', isQuick: true, more: { putBack: 6, copy: 3, crash: 2, cut: 2 } },
  /** Quorums that trees state are not compared with what is read: more is lost, beyond the condition of the promise. */
  quorumInReading: { family: 'F2', isQuick: false, counted: 'silent', more: { ofFamily: 5, restore: 4 } },
  /** Hosts take two histories of one epoch. */
  forked: { family: 'FV', isQuick: false, more: { ofFamily: 5 } },
  /** Of the policies in play, only the newest is met. */
  policiesInPlay: { family: 'F0', isQuick: true, more: { policy: 3, crash: 4, cut: 3 } },
  /** Of the ends of an epoch that two processes have written in, the highest is taken. */
  fork: { family: 'FV', isQuick: false, more: { ofFamily: 6 } },
  /** A reading leaves out no host whose events cannot be obtained. */
  leavingOut: { family: 'F1', isQuick: false, more: { rot: 6, restore: 5 } },
  /** An election does not know that its own log has won one. */
  ownRank: { family: 'F0', isQuick: false },
  /** Trees and claims are not verified. */
  signatures: { family: 'F1', isQuick: true },
  /** A core is elected without asking whether hosts have something newer. */
  election: { family: 'F0', isQuick: true },
  /** An elected core never halts: two that write as one continue until hosts refuse their batches. */
  meeting: { family: 'FV', isQuick: true, counted: 'FORKED', more: { ofFamily: 5 } },
  /** An event that is damaged costs the host. */
  eachAlone: { family: 'F0', isQuick: true, more: { rot: 12 } },
  /** A writer is elected by fewer hosts than are needed to know of every quorum. */
  electorate: { family: 'F0', isQuick: true },
  /** A reading is satisfied with fewer hosts than are needed to know of every quorum. */
  readWeight: { family: 'F0', isQuick: true },
  /** Dishonest hosts are not allowed for, although they are declared. */
  dishonestWeight: { family: 'F1', isQuick: false },
  /**
   * Cached frontiers of the tree are not compared with the log: a copy that continues differently signs roots of what
   * it was.
   */
  frontiers: { family: 'F0', isQuick: true, more: { putBack: 6, copy: 3 } },
  /** A line of the same number that began elsewhere is taken for the local one. */
  begun: { family: 'F0', isQuick: false, more: { beginLine: 20, crash: 8, restore: 8, stop: 4 } },
} as const satisfies Record<string, ControlOf>;
export type Control = keyof typeof CONTROLS;

export function controlOf(name: Control): ControlOf {
  return CONTROLS[name];
}

/** What is left out now. */
export const control: { without: Control | undefined } = { without: undefined };

export function isWithout(one: Control): boolean {
  return control.without === one;
}
