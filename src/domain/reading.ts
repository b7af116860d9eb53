import { totalWeight, weightOf, type Policy } from './replication.js';

/** A policy on a history. */
export interface PolicyOnHistory {
  readonly policy: Pick<Policy, 'hosts' | 'required'>;
  readonly line: number;
  /** The sequence of the event that set it. */
  readonly sequence: number;
}

/** A tree that a host has shown, in its head or as its staged tree. It is signed by the origin. */
export interface ShownTree {
  readonly line: number;
  readonly epoch: number;
  readonly sequence: number;
  /** How many events the tree states were at quorum. */
  readonly quorum: number;
}

/** A host that was heard, with the trees it has shown. */
export interface HeardHost {
  readonly host: string;
  /** The complete tree of its head. */
  readonly tree: ShownTree | null;
  readonly staged: ShownTree | null;
  /** Whether its weight counts: its key is pinned, and it is not suspended in the history. */
  readonly isCounted: boolean;
}

/** How trees relate to each other, computed from entries whose Merkle roots are those of the trees. */
export interface Relations {
  /** Whether the lines of two trees, which have the same number, began at the same event. */
  isOneBeginning(a: ShownTree, b: ShownTree): boolean;
  /** How many first events two trees have in common. */
  common(a: ShownTree, b: ShownTree): number;
  /** Whether the events that `of` states were at quorum are the first events of `tree`. */
  isQuorumOn(of: ShownTree, tree: ShownTree): boolean;
}

/** What has been fetched of histories so far. */
export interface Gotten {
  /** The sequences of events that no host delivers; undefined when the tree has not been fetched yet. */
  missing(tree: ShownTree): readonly number[] | undefined;
  /** The policies on a history that was fetched. */
  policies(tree: ShownTree): readonly PolicyOnHistory[];
}

/** The input of a reading: the hosts heard, and what is known of their trees. */
export interface Reader {
  readonly heard: readonly HeardHost[];
  readonly relations: Relations;
  readonly gotten: Gotten;
  /** The weight of hosts that may be dishonest. */
  readonly dishonest: number;
}

/**
 * Why nothing is read. NOTHING: no host shows a tree. MISSING: no host delivers some events. FORK: one epoch has several ends,
 * and not exactly one of them can have been at quorum. LINE: another line is shown, with a higher or the same number. QUORUM: a
 * host shows that more was at quorum. WEIGHT: too few hosts were heard. POLICY: the history sets no policy.
 */
export type Unread = 'NOTHING' | 'MISSING' | 'FORK' | 'LINE' | 'QUORUM' | 'WEIGHT' | 'POLICY';

/** The result of a reading. */
export type Reading =
  /** It must be known first which events of `get` can be fetched. */
  | { readonly is: 'OPEN'; readonly get: ShownTree }
  | { readonly is: 'REFUSED'; readonly why: Unread; readonly about: ShownTree | null }
  | {
      readonly is: 'READ';
      readonly best: ShownTree;
      /** The history that counts, which has `sequence` events. */
      readonly history: ShownTree;
      /** The other ends of its epoch; none of them can have been at quorum. */
      readonly otherEnds: readonly ShownTree[];
      /** A tree that extends the history, and its length up to the first policy after the history. */
      readonly tail: { readonly tree: ShownTree; readonly length: number } | null;
      readonly quorum: number;
      /** The epoch of the tree that states `quorum`; 0 when none does. */
      readonly quorumEpoch: number;
      readonly counted: readonly string[];
      /** The weight of hosts that may have been dishonest without harm. */
      readonly mayLie: number;
    };

/**
 * The policies in play on a history: those of its highest line, starting with the last one that was set within the events at
 * quorum, or with the first of the line. All of them must be met, because the newest may never have been at quorum.
 * @param policies in the order they were set
 * @param quorum how many events are known to have been at quorum
 */
export function policiesInPlay<P extends PolicyOnHistory>(policies: readonly P[], quorum: number): readonly P[] {
  const line = policies.at(-1)?.line;
  const ofLine = policies.slice(policies.findLastIndex((one) => one.line !== line) + 1);
  const inForce = ofLine.findLastIndex(({ sequence }) => sequence <= quorum);
  return ofLine.slice(Math.max(0, inForce));
}

/** Decides which history hosts give back, by docs/protocol.md, "Reading". After OPEN, call it again once `get` was tried. */
export function decideReading({ heard, relations, gotten, dishonest }: Reader): Reading {
  const trees = heard.flatMap(({ tree, staged }) => [tree, staged]).filter((tree) => tree !== null);
  const heads = heard.flatMap(({ tree }) => (tree === null ? [] : [tree]));
  const counted = new Set(heard.filter(({ isCounted }) => isCounted).map(({ host }) => host));
  let first: Reading | undefined;
  const refused = (why: Unread, about: ShownTree | null): Reading => ({ is: 'REFUSED', why, about });

  for (;;) {
    const candidates = heard.flatMap(({ host, tree }) => (tree !== null && counted.has(host) ? [{ host, tree }] : []));
    const best = candidates.map(({ tree }) => tree).reduce<ShownTree | undefined>(higher, undefined);
    if (best === undefined) return first ?? refused('NOTHING', null);
    const leaveOutWhoHas = (missing: readonly number[], tree: ShownTree) => {
      first ??= refused('MISSING', tree);
      for (const one of candidates)
        if (missing.some((sequence) => sequence <= relations.common(one.tree, tree))) counted.delete(one.host);
    };
    const missing = gotten.missing(best);
    if (missing === undefined) return { is: 'OPEN', get: best };
    if (missing.length > 0) {
      leaveOutWhoHas(missing, best);
      continue;
    }
    const isOfLine = (tree: ShownTree) => tree.line === best.line && relations.isOneBeginning(tree, best);
    const ofLine = trees.filter(isOfLine);
    if (heads.some((tree) => tree.line === best.line && !relations.isOneBeginning(tree, best)))
      return refused('LINE', best);

    const rivals = candidates.map(({ tree }) => tree).filter((tree) => isOfLine(tree) && tree.epoch === best.epoch);
    const tips = tipsOf(rivals, relations);
    let history = tips.length === 1 ? best : undefined;
    if (history === undefined) {
      for (const tip of tips) if (gotten.missing(tip) === undefined) return { is: 'OPEN', get: tip };
      const fork = { tips, rivals, candidates, ofLine, relations, gotten, dishonest };
      const [only, ...others] = tips.filter((tip) => isPossible(tip, fork));
      if (only === undefined || others.length > 0) return refused('FORK', best);
      history = only;
      const absent = gotten.missing(history) ?? [];
      if (absent.length > 0) {
        leaveOutWhoHas(absent, history);
        continue;
      }
    }
    const chosen = history;

    let [quorum, quorumEpoch] = [0, 0];
    for (const tree of ofLine)
      if (tree.quorum > quorum && tree.quorum <= chosen.sequence && relations.isQuorumOn(tree, chosen))
        [quorum, quorumEpoch] = [tree.quorum, tree.epoch];
    const policies = policiesInPlay(gotten.policies(chosen), quorum);
    if (policies.length === 0) return refused('POLICY', best);
    if (!policies.every(({ policy }) => spare(policy, counted) >= dishonest)) {
      first ??= refused('WEIGHT', best);
      for (const { host, tree } of candidates) if (rank(tree, best) === 0) counted.delete(host);
      continue;
    }
    for (const tree of trees) {
      if (tree.quorum === 0 || tree.line < best.line) continue;
      if (tree.quorum > chosen.sequence || !relations.isQuorumOn(tree, chosen))
        return refused(isOfLine(tree) ? 'QUORUM' : 'LINE', best);
    }
    if (heads.some(({ line }) => line > best.line)) return refused('LINE', best);

    const tail = tailOf(chosen, ofLine, relations, gotten);
    if (tail !== null && 'get' in tail) return { is: 'OPEN', get: tail.get };
    const mayLie = weightThatMayLie(
      policies.map(({ policy }) => policy),
      counted,
    );
    const otherEnds = tips.filter((tip) => !isOn(tip, chosen, relations));
    return { is: 'READ', best, history: chosen, otherEnds, tail, quorum, quorumEpoch, counted: [...counted], mayLie };
  }
}

/** Compares the ranks of two trees: (line, epoch, sequence). */
function rank(a: ShownTree, b: ShownTree): number {
  return a.line - b.line || a.epoch - b.epoch || a.sequence - b.sequence;
}

/** The tree of the higher rank; `a` when they are equal. */
export function higher(a: ShownTree | undefined, b: ShownTree): ShownTree {
  return a === undefined || rank(b, a) > 0 ? b : a;
}

/** Whether the events of `a` are the first events of `b`. */
function isOn(a: ShownTree, b: ShownTree, relations: Relations): boolean {
  return relations.common(a, b) === a.sequence;
}

/**
 * The weight of heard hosts that may, without harm, be dishonest, have lost events or have been reset to an older copy; below 0,
 * too few were heard.
 */
export function weightThatMayLie(
  policies: readonly Pick<Policy, 'hosts' | 'required'>[],
  heard: ReadonlySet<string>,
): number {
  return policies.length === 0 ? -1 : Math.min(...policies.map((policy) => spare(policy, heard)));
}

/** The weight of some hosts that may be dishonest: weight − (W − R) − 1; below 0, the hosts are too few. */
function spare(policy: Pick<Policy, 'hosts' | 'required'>, some: ReadonlySet<string>): number {
  return weightOf(policy, some) - (totalWeight(policy) - policy.required) - 1;
}

/** The trees that no other tree extends, one for each history. */
export function tipsOf(trees: readonly ShownTree[], relations: Relations): readonly ShownTree[] {
  const tips: ShownTree[] = [];
  for (const tree of trees) {
    if (tips.some((tip) => isOn(tree, tip, relations))) continue;
    const others = tips.filter((tip) => !isOn(tip, tree, relations));
    tips.splice(0, tips.length, ...others, tree);
  }
  return tips;
}

/** Histories of one line and epoch that diverge, and what is known of them. */
export interface Fork {
  readonly tips: readonly ShownTree[];
  /** The counted hosts' trees of the line and epoch. */
  readonly rivals: readonly ShownTree[];
  readonly candidates: readonly { readonly host: string; readonly tree: ShownTree }[];
  readonly ofLine: readonly ShownTree[];
  readonly relations: Relations;
  readonly gotten: Gotten;
  readonly dishonest: number;
}

/**
 * Whether an end of a forked epoch can have been at quorum: for some policy in play where the ends diverge, R ≤ W − f′ + f.
 * Here f′ is the weight of hosts whose tree neither includes the end nor leads to it, or leads to another end as well.
 */
export function isPossible(
  tip: ShownTree,
  { tips, rivals, candidates, ofLine, relations, gotten, dishonest }: Fork,
): boolean {
  const parting = Math.min(...tips.map((other) => relations.common(tip, other)));
  const quorums = ofLine.filter((tree) => tree.quorum <= parting && relations.isQuorumOn(tree, tip));
  const quorum = Math.max(0, ...quorums.map((tree) => tree.quorum));
  const known = gotten.policies(tip).filter(({ sequence }) => sequence <= parting);
  const isOnlyOn = (tree: ShownTree) => tips.every((other) => other === tip || !isOn(tree, other, relations));
  const off = candidates.filter(
    ({ tree }) =>
      !isOn(tip, tree, relations) && !(rivals.includes(tree) && isOn(tree, tip, relations) && isOnlyOn(tree)),
  );
  const hosts = new Set(off.map(({ host }) => host));
  return policiesInPlay(known, quorum).some(
    ({ policy }) => totalWeight(policy) - weightOf(policy, hosts) + dishonest >= policy.required,
  );
}

/** The longest extension of a history, up to its first policy: taking more events at the end cannot lose anything. */
function tailOf(
  history: ShownTree,
  ofLine: readonly ShownTree[],
  relations: Relations,
  gotten: Gotten,
): { readonly tree: ShownTree; readonly length: number } | { readonly get: ShownTree } | null {
  let longest: { readonly tree: ShownTree; readonly length: number } | null = null;
  for (const tree of ofLine) {
    if (tree.sequence <= history.sequence || !isOn(history, tree, relations)) continue;
    const missing = gotten.missing(tree);
    if (missing === undefined) return { get: tree };
    if (missing.length > 0) continue;
    const policy = gotten.policies(tree).find(({ sequence }) => sequence > history.sequence);
    const length = policy === undefined ? tree.sequence : policy.sequence - 1;
    if (length > (longest?.length ?? history.sequence)) longest = { tree, length };
  }
  return longest;
}
