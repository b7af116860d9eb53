import type { Family } from './scenery.js';
import type { More } from './steps.js';

/** What there may be more of without an ingredient. */
export type Counted = 'silent' | 'FORKED';

/** Where a control is looked for, and how it shows. */
interface ControlOf {
  readonly family: Family;
  /** Whether it is found soon enough for the gate. */
  readonly isQuick: boolean;
  /** What there is more of, over all seeds, where no seed fails; a seed fails unless given. */
  readonly counted?: Counted;
  /** What there is more of in its seeds. */
  readonly more?: More;
}

/**
 * What is taken out of the product, one thing at a time, to see that the simulation misses it: each is an ingredient of protocol 2
 * that the design says is needed. `without-*.ts` stand in for modules of the product and leave out what is named here.
 */
export const CONTROLS = {
  /** Every tree is complete at once: a history need not reach what its epoch was elected on. */
  base: { family: 'F0', isQuick: true },
  /** A host makes a head of whatever it is sent. */
  staging: { family: 'F0', isQuick: true },
  /** A process that is started again goes on under the epoch and the name of the one before. */
  epochOfProcess: { family: 'F0', isQuick: true, more: { putBack: 6, copy: 3, crash: 2, cut: 2 } },
  /** What trees say of quorums is not held against what is read: more is lost, beyond the condition of the promise. */
  quorumInReading: { family: 'F2', isQuick: false, counted: 'silent', more: { ofFamily: 5, restore: 4 } },
  /** Hosts take two histories of one epoch. */
  forked: { family: 'FV', isQuick: false, more: { ofFamily: 5 } },
  /** Of the policies in play, only the newest is met. */
  policiesInPlay: { family: 'F0', isQuick: true, more: { policy: 3, crash: 4, cut: 3 } },
  /** Of the ends of an epoch that two processes have written in, the highest is taken. */
  fork: { family: 'FV', isQuick: false, more: { ofFamily: 6 } },
  /** A reading leaves nobody out whose events cannot be got. */
  leavingOut: { family: 'F1', isQuick: false, more: { rot: 6, restore: 5 } },
  /** An election does not know that its own log has won one. */
  ownRank: { family: 'F0', isQuick: false },
  /** Trees and claims are not verified. */
  signatures: { family: 'F1', isQuick: true },
  /** A core is elected without asking whether hosts have what is newer. */
  election: { family: 'F0', isQuick: true },
  /** A core that is elected goes on whatever it meets: two that write as one go on until hosts refuse what they send. */
  meeting: { family: 'FV', isQuick: true, counted: 'FORKED', more: { ofFamily: 5 } },
  /** An event that is damaged costs the host. */
  eachAlone: { family: 'F0', isQuick: true, more: { rot: 12 } },
  /** A writer is elected by fewer hosts than it takes to know of every quorum. */
  electorate: { family: 'F0', isQuick: true },
  /** A reading is satisfied with fewer hosts than it takes to know of every quorum. */
  readWeight: { family: 'F0', isQuick: true },
  /** Liars are not allowed for, though they are declared. */
  dishonestWeight: { family: 'F1', isQuick: false },
  /** What was kept of the own tree is not held to the log: a copy that goes on otherwise signs roots of what it was. */
  frontiers: { family: 'F0', isQuick: true, more: { putBack: 6, copy: 3 } },
  /** A line of the same number that began elsewhere is taken for one's own. */
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
