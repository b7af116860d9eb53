import { totalWeight, weightOf, type Policy } from './replication.js';

/** What a tree says, and how that stands to the own log. */
export interface Shown {
  readonly line: number;
  readonly epoch: number;
  readonly sequence: number;
  /** How many events are said to have been at quorum. */
  readonly quorum: number;
  readonly writer: string;
  /** Whether it reaches the events that its epoch was elected on. */
  readonly isComplete: boolean;
  /** Whether its line began where the own line did: lines of one number that began elsewhere are others. */
  readonly isOfOwnBeginning: boolean;
  /** Whether its events are the first of the own log. */
  readonly isOnLog: boolean;
  /** Whether the events that are said to have been at quorum are the first of the own log. */
  readonly isQuorumOnLog: boolean;
}

/** The own log, as far as an election asks. */
export interface OwnHistory {
  readonly line: number;
  /** The epoch of the last election that this log has won in its line; 0 before one. */
  readonly epoch: number;
  /** How many events that was on; at least those up to the one that began the line. */
  readonly base: number;
  /** How many events are known to have been at quorum. */
  readonly quorum: number;
  /** Whether it was restored from hosts and has not won an election since. */
  readonly isRestored: boolean;
}

/** A host that has granted the claim, with what its head shows. */
export interface Grantor {
  readonly tree: Shown | null;
  readonly staged: Shown | null;
}

/**
 * Why this log is not the newest. BEHIND: a later process of the origin has written what is not on it. FORKED: this very
 * epoch has. LINE: a line was begun above the own one, or elsewhere under its number.
 */
export type News = 'BEHIND' | 'FORKED' | 'LINE';

/** What an election is decided by. */
export interface Ballot {
  readonly own: OwnHistory;
  /** The policies in play: each must be met. */
  readonly policies: readonly Pick<Policy, 'hosts' | 'required'>[];
  /** By the fingerprints of hosts that have granted the epoch. */
  readonly granted: ReadonlyMap<string, Grantor>;
  /** The weight of hosts that may lie. */
  readonly dishonest: number;
  /** The epoch that was claimed. */
  readonly epoch: number;
  /** How many events the own log knew to be at quorum when the epoch was claimed. */
  readonly signable: number;
  /** Whether every host of the policies that can answer has answered the claim. */
  readonly isEveryHostHeard: boolean;
}

/** A host, with what it shows that is not on the own log. */
export interface Strange {
  readonly by: string;
  /** The tree of its head, or one that is staged there. */
  readonly shown: Shown;
}

/** What comes of an election. */
export type Outcome =
  /** Too few hosts have granted, or have been heard. `leftOut` have granted, and count for nothing. */
  | { readonly is: 'OPEN'; readonly leftOut: readonly Strange[] }
  | ({ readonly is: 'STOPPED'; readonly news: News } & Strange)
  | {
      readonly is: 'ELECTED';
      /** No tree of this epoch counts that has fewer events. */
      readonly base: number;
      /** What is known of quorums now. */
      readonly quorum: number;
      /** The epoch of the tree that said so; undefined when none said more than was known. */
      readonly quorumEpoch: number | undefined;
      /** What this process may sign of that: never what was reached under a higher epoch than its own. */
      readonly signable: number;
      /** Hosts of which the head, or a part of it, is not on the own log: a restored log sets that aside. */
      readonly leftOut: readonly Strange[];
    };

/**
 * Whether hosts are enough to know of every quorum there was, with some that lie among them, and to make one.
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

/** The weight of hosts that must be heard beside some, before these are an electorate of every policy; 0 when they are. */
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

/** Why a head's tree says that the own log is not the newest; undefined when it does not. */
function newsOf(shown: Shown, own: OwnHistory): News | undefined {
  if (!shown.isComplete || shown.line < own.line) return undefined;
  if (shown.line > own.line || !shown.isOfOwnBeginning) return 'LINE';
  if (shown.epoch < own.epoch || shown.isOnLog) return undefined;
  return shown.epoch === own.epoch ? 'FORKED' : 'BEHIND';
}

/** Why a tree of a head, or one that is staged, says that the own log lacks what was at quorum. */
function missesQuorum(shown: Shown, own: OwnHistory): News | undefined {
  if (shown.line < own.line || shown.quorum === 0 || shown.isQuorumOnLog) return undefined;
  return isOfOwnLine(shown, own) ? 'BEHIND' : 'LINE';
}

/**
 * Decides whether a process that has claimed an epoch may ship what counts: whether hosts enough have shown that nothing
 * newer than its log exists. A log that was restored leaves hosts out that show other events: what the rest does not know
 * was never at quorum, when the rest is an electorate by itself.
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

/** The process that was elected. */
export interface Elected {
  readonly own: OwnHistory;
  readonly epoch: number;
  readonly writer: string;
}

/**
 * What an elected process does about a tree that it meets: goes on; stops, for another writes under its epoch and name, or
 * a line was begun elsewhere; or claims again, above it, and is judged again.
 */
export function decideMeeting(
  shown: Shown,
  { own, epoch, writer }: Elected,
  of: 'head' | 'staged',
): 'GO_ON' | 'CLAIM_AGAIN' | 'FORKED' | 'LINE' {
  const isOwn = isOfOwnLine(shown, own) && shown.epoch === epoch && shown.writer === writer;
  if (isOwn && !shown.isOnLog) return 'FORKED';
  const news = (of === 'head' ? newsOf(shown, own) : undefined) ?? missesQuorum(shown, own);
  if (news === undefined) return 'GO_ON';
  return news === 'LINE' ? 'LINE' : 'CLAIM_AGAIN';
}

function isOfOwnLine({ line, isOfOwnBeginning }: Shown, own: OwnHistory): boolean {
  return line === own.line && isOfOwnBeginning;
}
