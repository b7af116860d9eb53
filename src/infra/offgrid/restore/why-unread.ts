import type { Unread } from '../../../domain/reading.js';
import { totalWeight, weightOf, type Policy } from '../../../domain/replication.js';
import { toHex } from '../../crypto/bytes.js';
import { compareRank, type Tree } from '../protocol/tree.js';
import type { HeardHost } from './host-survey.js';

/** The most hosts that a message names. */
const MAX_NAMED = 8;

/** A history that was not read. */
export interface UnreadHistory {
  /** The tree that the rules ended at. */
  readonly about: Tree | undefined;
  readonly heard: readonly HeardHost[];
  /** Hosts that the history records as suspended: they do not count. */
  readonly suspended: ReadonlySet<string>;
  /** The weight of hosts that may be dishonest. */
  readonly dishonest: number;
  /** Whether the caller may accept a loss. */
  readonly mayAcceptLoss: boolean;
  /** The policies that must be met. */
  readonly policies: readonly Policy[];
  /** The first event that no host gives. */
  readonly missing: number | undefined;
}

/** The message about why nothing was read, and what to do. */
export function whyUnread(why: Unread, unread: UnreadHistory): string {
  const { about, heard, mayAcceptLoss, policies, missing } = unread;
  const [orTake, orChoose] = mayAcceptLoss
    ? [
        ', or take what can be obtained: --accept-loss',
        ', or choose one: --accept-loss --history <first 8 digits of its root>',
      ]
    : ['', ''];
  const named = whoShows(heard, policies);
  switch (why) {
    case 'NOTHING':
      if (heard.length === 0) return 'No host has answered with a valid head. Start the hosts, or check --hosts.';
      return heard.some(({ head: { tree, staged } }) => tree !== null || staged !== null)
        ? `No event that the hosts show can be obtained and opened: ${named}. If the first event is lost, so is the key in it. Make more hosts reachable.`
        : `None of the hosts that answer has anything of this origin: ${named}. Check --hosts and SHERATAN_ORIGIN.`;
    case 'MISSING':
      return `Not all of the first ${about?.sequence ?? 0} events that the origin has signed can be obtained${missing === undefined ? '' : ` (no host gives event ${missing})`}, and the hosts that do not have them are too few to show that they were never at quorum. ${named}. Make more hosts reachable${orTake}.`;
    case 'FORK':
      return `Two processes have written in epoch ${about?.epoch ?? 0}, and the hosts do not show which of their histories was at quorum: ${named}. Make more hosts reachable${orChoose}.`;
    case 'LINE':
      return `The hosts show more than one line: ${named}. In a line that was begun later, or elsewhere, events were acknowledged that this one does not have. Read from the hosts of the line that is to continue${orChoose}.`;
    case 'QUORUM':
      return `A tree that the origin has signed shows that more events were at quorum than the ${about?.sequence ?? 0} that can be obtained: ${named}. Make more hosts reachable${orTake}.`;
    case 'WEIGHT':
      return `Events that were at quorum may be missing: too few hosts were verified. ${policies.map((policy) => weightsOf(policy, unread)).join(' ')} They show: ${named}. Make more hosts reachable${orTake}.`;
    case 'POLICY':
      return `The history names no hosts, so what was at quorum cannot be known. Make more hosts reachable${orTake}.`;
  }
}

/** Notes on a history that was read: others were shown, and were not taken. */
export function notesOn(
  { history, otherEnds }: { readonly history: Tree; readonly otherEnds: readonly Tree[] },
  heard: readonly HeardHost[],
): readonly string[] {
  const showing = (isSo: (tree: Tree) => boolean) =>
    heard.filter(({ head: { tree } }) => tree !== null && isSo(tree.value)).map((host) => shownBy(host));
  const others = showing((tree) => otherEnds.includes(tree)).slice(0, MAX_NAMED);
  const forked = `Two processes have written in epoch ${history.epoch}. Only one of their histories can have been at quorum, and it is read: ${wordsOf(history)}. Not taken: ${others.join('; ')}.`;
  const lower = showing(({ line }) => line < history.line);
  return [
    ...(others.length === 0 ? [] : [forked]),
    ...lower.map((shows) => `${shows}. Line ${history.line} was begun after that, and it is read.`),
  ];
}

/** The weight of a policy that was heard, and the hosts that were not. */
function weightsOf(policy: Policy, { heard, suspended, dishonest }: UnreadHistory): string {
  const pinned = new Set(heard.filter(({ isPinned }) => isPinned).map(({ host }) => host));
  const counted = new Set([...pinned].filter((host) => !suspended.has(host)));
  const total = totalWeight(policy);
  const mayLie = dishonest === 0 ? '' : ` (${dishonest} of it may be dishonest)`;
  const namedOf = (isOne: (host: string) => boolean, words: string) => {
    const named = policy.hosts.filter(({ host }) => isOne(host)).map(({ url, host }) => `${url} (${host})`);
    return named.length === 0 ? '' : ` ${words}: ${named.slice(0, MAX_NAMED).join(', ')}.`;
  };
  const unheard = namedOf((host) => !pinned.has(host), 'Not heard');
  const setAside = namedOf((host) => pinned.has(host) && suspended.has(host), 'Suspended, and not counted');
  return `Policy ${policy.version} requires more than ${total - policy.required + dishonest} of the weight ${total} to answer${mayLie}; ${weightOf(policy, counted)} did.${unheard}${setAside}`;
}

/**
 * What hosts show, for an operator who must choose: the highest first, and of each history one host before others that show the
 * same.
 */
function whoShows(heard: readonly HeardHost[], policies: readonly Policy[]): string {
  const treeOf = ({ head: { tree, staged } }: HeardHost) => (tree ?? staged)?.value;
  const ranked = [...heard].sort((a, b) => compareRank(treeOf(b), treeOf(a)));
  const rootsOf = ({ head: { tree, staged } }: HeardHost) =>
    [tree, staged].map((one) => toHex(one?.value.root ?? new Uint8Array())).join(' ');
  const roots = ranked.map(rootsOf);
  const isFirst = (host: HeardHost, i: number) => roots.indexOf(rootsOf(host)) === i;
  const ordered = [...ranked.filter(isFirst), ...ranked.filter((host, i) => !isFirst(host, i))];
  const shown = ordered.slice(0, MAX_NAMED).map((host) => shownBy(host, policies));
  return [...shown, ...(ordered.length > MAX_NAMED ? [`${ordered.length - MAX_NAMED} more`] : [])].join('; ');
}

/** What a host shows, in a few words. */
function shownBy({ url, host, isPinned, head: { tree, staged } }: HeardHost, policies: readonly Policy[] = []): string {
  const weight = policies.flatMap(({ hosts }) => hosts).findLast((one) => one.host === host)?.weight;
  const shows = [tree && wordsOf(tree.value), staged && `${wordsOf(staged.value)} staged`].filter(
    (text) => text !== null,
  );
  const what = shows.length === 0 ? 'nothing' : shows.join(' and ');
  const heavy = weight === undefined || weight === 1 ? '' : `, of weight ${weight}`;
  return `${url} (${host}${heavy}${isPinned ? '' : ', whose key is not named'}) shows ${what}`;
}

function wordsOf({ sequence, line, epoch, quorum, root, begun, ts }: Tree): string {
  // Every log of an origin is of line 1 at first, so its beginning identifies nothing.
  const beginning = line === 1 ? '' : ` (begun with root ${digitsOf(begun)})`;
  return `${sequence} events of epoch ${epoch} in line ${line}${beginning}, root ${digitsOf(root)}, of which ${quorum} were at quorum, signed at ${new Date(ts).toISOString()}`;
}

function digitsOf(root: Uint8Array): string {
  return toHex(root).slice(0, 8);
}
