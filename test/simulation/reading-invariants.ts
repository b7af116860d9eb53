import type { HeardHost } from '../../src/infra/offgrid/restore/host-survey.js';
import type { ReadHistory } from '../../src/infra/offgrid/restore/history-reader.js';
import { equalBytes } from '../../src/infra/crypto/bytes.js';
import type { SignedThing } from '../../src/infra/offgrid/protocol/signed.js';
import type { Tree } from '../../src/infra/offgrid/protocol/tree.js';
import type { Histories, History } from './histories.js';
import { isWhole } from './host-disk.js';
import type { SimHost } from './host.js';
import { check, treeOf, type Invariants, type Reported } from './invariants.js';

/** A reading that succeeded. */
export interface Reading {
  readonly read: ReadHistory;
  readonly history: History;
  /** How much had been reported when it began: what was reported meanwhile may be missing. */
  readonly reportedBefore: number;
  /** Whether, from the beginning, no host received anything, and every host that is up answered. */
  readonly isCalm: boolean;
}

/** Compares what was read back with everything that was ever reported. */
export class ReadingInvariants {
  readonly counts = { readings: 0, exact: 0, silent: 0 };
  readonly #invariants: Invariants;
  readonly #histories: Histories;
  readonly #hosts: readonly SimHost[];
  readonly #isUndeclared: boolean;

  constructor(invariants: Invariants, hosts: readonly SimHost[], isUndeclared: boolean) {
    this.#invariants = invariants;
    this.#histories = invariants.histories;
    this.#hosts = hosts;
    this.#isUndeclared = isUndeclared;
  }

  /** A history was read without loss. Returns whether all that was reported is on it. @throws Violation */
  onRead({ read, history, reportedBefore, isCalm }: Reading): boolean {
    const histories = this.#histories;
    const { best, counted, leftOut } = read;
    const heard = [...counted, ...leftOut.map(({ host }) => host)];
    const shown = heard.flatMap(({ head }) =>
      [head.tree?.value, head.staged?.value].filter((tree) => tree !== undefined),
    );
    const begun = histories.ofRoot(best.begun);
    const reported = this.#invariants.reported.slice(0, reportedBefore).filter(({ isLost }) => !isLost);
    const ofLine = reported.filter((one) => one.begun === begun);
    const weighing = new Set(counted.map((host) => this.#honest(host)));
    // The exact condition of the promise: an honest host of each quorum is among those that were counted.
    const isExact = ofLine.every(({ hosts }) => [...hosts].some((host) => weighing.has(host)));
    this.counts.readings += 1;
    if (isExact && !this.#invariants.isDeceived) this.counts.exact += 1;
    const lost = ofLine.find((one) => !histories.has(history, one.history));
    if (lost !== undefined) {
      const isExcused = this.#isUndeclared && (this.#invariants.isDeceived || !isExact);
      if (isExcused) this.counts.silent += 1;
      check(
        isExcused,
        () => `${this.#words(history, best)} was read without ${this.#invariants.name(lost)}, which was replicated`,
      );
      return false;
    }
    if (isCalm) for (const tree of shown) this.#isRead(tree, read, history);
    for (const one of reported) this.#isOfOneLine(one, history, best, heard);
    for (const tree of shown)
      check(
        tree.line <= best.line || tree.quorum === 0 || histories.has(history, histories.ofRoot(tree.quorumRoot)),
        () => `${this.#words(history, best)} was read, and line ${tree.line} was shown, with a quorum of its own`,
      );
    return true;
  }

  /** What continues the history that counts is read too, up to the first policy, where it can be obtained. */
  #isRead(tree: Tree, { best, base }: ReadHistory, history: History): void {
    const histories = this.#histories;
    const shown = histories.ofRoot(tree.root);
    const isOfIt = tree.line === best.line && equalBytes(tree.begun, best.begun);
    if (!isOfIt || tree.sequence <= base || !histories.has(shown, histories.first(history, base))) return;
    if (!this.#hosts.some((host) => !host.isFaulty && !host.isGone && hasWhole(host, tree))) return;
    const policy = histories.policiesOf(shown).find(({ sequence }) => sequence > base);
    const length = policy === undefined ? tree.sequence : policy.sequence - 1;
    check(
      histories.lengthOf(history) >= length,
      () => `${this.#words(history, best)} was read, and ${length} events could be had`,
    );
  }

  /** Nothing is read while an honest host shows another line in which it was part of a quorum. */
  #isOfOneLine(one: Reported, history: History, best: Tree, heard: readonly HeardHost[]): void {
    if (this.#histories.has(history, one.history) || one.line < best.line) return;
    const witness = heard.find((host) => {
      const honest = this.#honest(host);
      const tree = host.head.tree?.value;
      return honest !== undefined && one.hosts.has(honest) && tree !== undefined && tree.line >= one.line;
    });
    check(
      witness === undefined,
      () => `${this.#words(history, best)} was read, and ${witness?.url ?? ''} shows ${this.#invariants.name(one)}`,
    );
  }

  #honest({ host: id }: HeardHost): SimHost | undefined {
    const host = this.#hosts.find(({ identity }) => identity.id === id);
    return host?.isFaulty === false ? host : undefined;
  }

  #words(history: History, { line, epoch, sequence }: Tree): string {
    return `a history of ${this.#histories.lengthOf(history)} events (the best tree: ${sequence} of epoch ${epoch} in line ${line})`;
  }
}

/** Whether a host has each event of a tree, in its head or staged. */
function hasWhole({ disk }: SimHost, { root }: Tree): boolean {
  const { head = null, staged = null, rows } = disk.state ?? {};
  const isOfIt = (signed: SignedThing<'tree'> | null) => {
    const kept = treeOf(signed);
    return kept !== undefined && equalBytes(kept.root, root);
  };
  return (isOfIt(head) && rows!.head.every(isWhole)) || (isOfIt(staged) && rows!.staged.every(isWhole));
}
