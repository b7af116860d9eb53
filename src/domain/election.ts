import { totalWeight, weightOf, type Policy } from './replication.js';

/** What a tree states, and how it compares with the own log. */
export interface Shown {
  readonly line: number;
  readonly epoch: number;
  readonly sequence: number;
  /** How many events the tree states were at quorum. */
  readonly quorum: number;
  readonly writer: string;
  /** Whether it includes all the events that its epoch's election rests on. */
  readonly isComplete: boolean;
  /** Whether its line began where the own line did: lines with one number that began elsewhere are different lines. */
  readonly isOfOwnBeginning: boolean;
  /** Whether its events are the first events of the own log. */
  readonly isOnLog: boolean;
  /** Whether the events that the tree states were at quorum are the first events of the own log. */
  readonly isQuorumOnLog: boolean;
}

/** The facts about the own log that an election needs. */
export interface OwnHistory {
  readonly line: number;
  /** The epoch of the last election that this log has won in its line; 0 before one. */
  readonly epoch: number;
  /** The base of that election: at least the events up to the one that began the line. */
  readonly base: number;
  /** How many events are known to have been at quorum. */
  readonly quorum: number;
  /** Whether it was restored from hosts and has not won an election since. */
  readonly isRestored: boolean;
}

/** A host that has granted the claim, with the trees of its head. */
export interface Grantor {
  readonly tree: Shown | null;
  readonly staged: Shown | null;
}

/**
 * Why this log is not the newest. BEHIND: a later process of the origin has written events that are not on it. FORKED: the same
 * epoch has written such events. LINE: a line was begun above the own one, or at another event with the same number.
 */
export type News = 'BEHIND' | 'FORKED' | 'LINE';

/** The input of an election. */
export interface Ballot {
  readonly own: OwnHistory;
  /** The policies in play: each must be met. */
  readonly policies: readonly Pick<Policy, 'hosts' | 'required'>[];
  /** The hosts that have granted the epoch, by fingerprint. */
  readonly granted: ReadonlyMap<string, Grantor>;
  /** The weight of hosts that may be dishonest. */
  readonly dishonest: number;
  /** The epoch that was claimed. */
  readonly epoch: number;
  /** How many events the own log knew to be at quorum when the epoch was claimed. */
  readonly signable: number;
  /** Whether every host of the policies that can answer has answered the claim. */
  readonly isEveryHostHeard: boolean;
}

/** A host that shows a tree which is not on the own log. */
export interface Strange {
  readonly by: string;
  /** The tree of its head, or its staged tree. */
  readonly shown: Shown;
}

/** The result of an election. */
export type Outcome =
  /** Too few hosts have granted the epoch, or have been heard. The hosts in `leftOut` have granted it, but do not count. */
  | { readonly is: 'OPEN'; readonly leftOut: readonly Strange[] }
  | ({ readonly is: 'STOPPED'; readonly news: News } & Strange)
  | {
      readonly is: 'ELECTED';
      /** A tree of this epoch that has fewer events does not count. */
      readonly base: number;
      /** How many events are now known to have been at quorum. */
      readonly quorum: number;
      /** The epoch of the tree that states this; undefined when no tree states more than was known. */
      readonly quorumEpoch: number | undefined;
      /** How many of those this process may sign as at quorum: never more than was reached under its own or a lower epoch. */
      readonly signable: number;
      /** Hosts whose tree is not, or not completely, on the own log: an election of a restored log does not count them. */
      readonly leftOut: readonly Strange[];
    };

/**
 * Whether some hosts are enough to know of every past quorum, with dishonest ones among them, and to form a quorum.
 * docs/protocol.md: weight − f > W − R, and weight ≥ R.
 */
export function isElectorate(
  policy: Pick<Policy, 'hosts' | 'required'>,
  some: ReadonlySet<string>,
  dishonest: number,
): boolean {
  const weight = weightOf(policy, some);
  return weight - dishonest > totalWeight(policy) - policy.required && weight >= policy.required;
}

/** The weight of further hosts that must be heard before all are an electorate of every policy; 0 when `some` are one. */
export function missingWeight(
  policies: readonly Pick<Policy, 'hosts' | 'required'>[],
  some: ReadonlySet<string>,
  dishonest: number,
): number {
  const missing = policies.map((policy) => {
    const toKnow = totalWeight(policy) - policy.required + dishonest + 1;
    return Math.max(toKnow, policy.required) - weightOf(policy, some);
  });
  return Math.max(0, ...missing);
}

/** Why the own log is not the newest, by the tree of a head; undefined when that tree does not show it. */
function newsOf(shown: Shown, own: OwnHistory): News | undefined {
  if (!shown.isComplete || shown.line < own.line) return undefined;
  if (shown.line > own.line || !shown.isOfOwnBeginning) return 'LINE';
  if (shown.epoch < own.epoch || shown.isOnLog) return undefined;
  return shown.epoch === own.epoch ? 'FORKED' : 'BEHIND';
}

/** Why the own log lacks events that were at quorum, by the tree of a head or a staged tree; undefined when it lacks none. */
function missesQuorum(shown: Shown, own: OwnHistory): News | undefined {
  if (shown.line < own.line || shown.quorum === 0 || shown.isQuorumOnLog) return undefined;
  return isOfOwnLine(shown, own) ? 'BEHIND' : 'LINE';
}

/**
 * Decides whether a process that has claimed an epoch may ship events that count: whether enough hosts have shown that nothing
 * newer than its log exists. For a restored log, hosts that show other events are left out: if the remaining hosts alone are
 * an electorate, events that they do not know were never at quorum.
 */
export function decideElection(ballot: Ballot): Outcome {
  const { own, policies, granted, dishonest, epoch, isEveryHostHeard } = ballot;
  const some = new Set(granted.keys());
  const isEnough = () => policies.length > 0 && policies.every((policy) => isElectorate(policy, some, dishonest));
  const strange = [...granted].flatMap(([by, { tree }]) => {
    const news = tree === null ? undefined : newsOf(tree, own);
    return tree === null || news === undefined ? [] : [{ is: 'STOPPED', news, by, shown: tree } as const];
  });
  const leftOut = own.isRestored ? strange.map(({ by, shown }) => ({ by, shown })) : [];
  if (!isEnough()) return { is: 'OPEN', leftOut };
  const [gravest] = [...strange.filter(({ news }) => news === 'LINE'), ...strange];
  if (gravest !== undefined) {
    if (!own.isRestored || gravest.news === 'LINE') return gravest;
    for (const { by } of strange) some.delete(by);
    if (!isEnough()) return isEveryHostHeard ? gravest : { is: 'OPEN', leftOut };
  }

  let { quorum } = own;
  let { signable } = ballot;
  let quorumEpoch: number | undefined;
  for (const [by, { tree, staged }] of granted)
    for (const shown of [tree, staged]) {
      if (shown === null) continue;
      const news = missesQuorum(shown, own);
      if (news !== undefined) return { is: 'STOPPED', news, by, shown };
      if (!isOfOwnLine(shown, own) || shown.quorum === 0) continue;
      if (shown.quorum > quorum) ({ quorum, epoch: quorumEpoch } = shown);
      if (shown.epoch <= epoch) signable = Math.max(signable, shown.quorum);
    }

  const reached = [...granted].flatMap(([by, { tree }]) =>
    some.has(by) && tree?.isOnLog === true ? [tree.sequence] : [],
  );
  return {
    is: 'ELECTED',
    base: Math.max(own.base, quorum, ...reached),
    quorum,
    quorumEpoch,
    signable,
    leftOut,
  };
}

/** A process that won an election. */
export interface Elected {
  readonly own: OwnHistory;
  readonly epoch: number;
  readonly writer: string;
}

/**
 * What an elected process does when a host shows it a tree: it continues (GO_ON); it stops, because another process writes
 * under its epoch and name, in which the log was last elected (FORKED), or a line was begun elsewhere (LINE); or it claims a
 * higher epoch and needs another election (CLAIM_AGAIN).
 */
export function decideMeeting(
  shown: Shown,
  { own, epoch, writer }: Elected,
  of: 'head' | 'staged',
): 'GO_ON' | 'CLAIM_AGAIN' | 'FORKED' | 'LINE' {
  const isOwn = isOfOwnLine(shown, own) && shown.epoch === epoch && shown.writer === writer;
  // After another process of this log was elected above it, this epoch is over, regardless of who wrote in it.
  if (isOwn && !shown.isOnLog) return own.epoch > epoch ? 'CLAIM_AGAIN' : 'FORKED';
  const news = (of === 'head' ? newsOf(shown, own) : undefined) ?? missesQuorum(shown, own);
  if (news === undefined) return 'GO_ON';
  return news === 'LINE' ? 'LINE' : 'CLAIM_AGAIN';
}

function isOfOwnLine({ line, isOfOwnBeginning }: Shown, own: OwnHistory): boolean {
  return line === own.line && isOfOwnBeginning;
}
