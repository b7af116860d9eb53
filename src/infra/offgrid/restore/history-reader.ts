import { decideAcceptedLoss } from '../../../domain/accepted-loss.js';
import {
  decideReading,
  policiesInPlay,
  type Reader,
  type Reading,
  type ShownTree,
  type Unread,
} from '../../../domain/reading.js';
import type { HostState } from '../../../domain/replication.js';
import { equalBytes, toHex } from '../../crypto/bytes.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { compareRank, type Tree } from '../protocol/tree.js';
import { contentSources, type ContentSource } from './content-sources.js';
import type { EntryCollector } from './entry-collector.js';
import type { EntryList } from './entry-list.js';
import { GIVEN_AND_WITHHELD, RestoreError } from './errors.js';
import type { HistoryBuilder } from './history-builder.js';
import type { KnownPolicy, KnownState } from './history-notes.js';
import { shownTrees, type HeardHost } from './host-survey.js';
import { notesOn, whyUnread } from './why-unread.js';

/** Dependencies of a history reader. */
export interface ReaderDependencies<Log> {
  readonly heard: readonly HeardHost[];
  readonly collector: EntryCollector;
  readonly builder: HistoryBuilder<Log>;
  /** The weight of hosts that may be dishonest. */
  readonly dishonest: number;
  /** Whether the caller may accept a loss. */
  readonly mayAcceptLoss: boolean;
  readonly onTrouble: (message: string) => void;
}

/** A history that hosts gave back, and that holds everything that was ever at quorum. */
export interface ReadHistory<Log = EventLog> {
  readonly log: Log;
  /** How many events it has. */
  readonly length: number;
  /** How many of them are events of the tree that counts; later ones were not in a head of its epoch yet. */
  readonly base: number;
  /** The tree that counts. */
  readonly best: Tree;
  readonly quorum: number;
  /** The epoch of the tree that states the quorum; 0 when none does. */
  readonly quorumEpoch: number;
  /** The policies on it, in the order they were set. */
  readonly policies: readonly KnownPolicy[];
  /** The numbers of events whose content no host has, because a loss was accepted before. */
  readonly holes: readonly number[];
  readonly counted: readonly HeardHost[];
  /** Hosts that were heard, but do not count, with the reason. */
  readonly leftOut: readonly { readonly host: HeardHost; readonly why: string }[];
  /** The weight of hosts that may have been dishonest without harm. */
  readonly mayLie: number;
  /** The highest epoch that any tree or claim shows. */
  readonly epoch: number;
}

/** A history that was taken although more may have been at quorum. It continues in a line of its own. */
export interface AcceptedHistory<Log = EventLog> {
  readonly log: Log;
  /** How many events it has. */
  readonly length: number;
  /** The tree whose first events it has. */
  readonly tree: Tree;
  /** The line that it begins: above every line that was shown. */
  readonly line: number;
  readonly policies: readonly KnownPolicy[];
  /** The numbers of events whose content no host has. */
  readonly holes: readonly number[];
  /** The highest epoch that any tree or claim shows. */
  readonly epoch: number;
  /** Why nothing could be read without loss. */
  readonly loss: string;
}

/** A shown tree as the rules take it, with the tree itself. */
interface Known extends ShownTree {
  readonly tree: Tree;
}

/** How often a loss is accepted again when hosts no longer give what they gave: a dishonest host could repeat it forever. */
const MAX_TURNS = 8;

/** A number of first events of a tree. */
interface Reached {
  readonly tree: Tree;
  readonly length: number;
}

/** Reads back the one history of an origin, by docs/protocol.md, "Reading": asks the rules, and gets what they ask for. */
export class HistoryReader<Log> {
  readonly #dependencies: ReaderDependencies<Log>;
  readonly #known = new Map<Tree, Known>();
  readonly #lists = new Map<Tree, EntryList>();
  /** Of each tree that was tried, the first event that no host gives; 0 when the tree was obtained completely. */
  readonly #tried = new Map<Tree, number>();
  /** What was found on each tree that was tried: the builder may hold another tree by the time it is asked for. */
  readonly #found = new Map<
    Tree,
    { readonly policies: readonly KnownPolicy[]; readonly states: readonly KnownState[] }
  >();

  constructor(dependencies: ReaderDependencies<Log>) {
    this.#dependencies = dependencies;
  }

  /** @throws RestoreError when nothing is read */
  async read(): Promise<ReadHistory<Log>> {
    await this.#collectLists();
    const read = await this.#tryToRead();
    if ('refused' in read) throw new RestoreError(read.refused);
    return read;
  }

  /**
   * Reads; where nothing can be read, takes what can be obtained: a loss is accepted.
   * @param chosen the first digits of the root of a tree, hexadecimal: it is taken, and nothing else
   * @throws RestoreError when there is nothing, or something must be chosen first
   */
  async readWithLoss(chosen: string | undefined): Promise<ReadHistory<Log> | AcceptedHistory<Log>> {
    await this.#collectLists();
    const read = chosen === undefined ? await this.#tryToRead() : { refused: `root ${chosen} was chosen` };
    return 'refused' in read ? this.#accept(read.refused, chosen) : read;
  }

  async #tryToRead(): Promise<ReadHistory<Log> | { readonly refused: string }> {
    const suspended = new Set<string>();
    for (;;) {
      const reading = decideReading(this.#reader(suspended));
      if (reading.is === 'OPEN') {
        await this.#get(treeOf(reading.get));
        continue;
      }
      if (reading.is === 'REFUSED') return { refused: this.#whyUnread(reading.why, aboutOf(reading), suspended) };
      const found = this.#suspendedOn(this.#end(reading));
      if ([...found].every((host) => suspended.has(host))) {
        const read = await this.#finish(reading, suspended);
        if (read !== undefined) return read;
        continue;
      }
      // Hosts that the history records as suspended are read, but not counted.
      for (const host of found) suspended.add(host);
    }
  }

  #reader(suspended: ReadonlySet<string>): Reader {
    const { heard, dishonest } = this.#dependencies;
    return {
      heard: heard.map(({ host, isPinned, head }) => ({
        host,
        tree: this.#shown(head.tree?.value),
        staged: this.#shown(head.staged?.value),
        isCounted: isPinned && !suspended.has(host),
      })),
      relations: {
        isOneBeginning: (a, b) => equalBytes(treeOf(a).begun, treeOf(b).begun),
        common: (a, b) => this.#common(treeOf(a), treeOf(b)),
        isQuorumOn: (of, tree) => this.#has(treeOf(tree), treeOf(of).quorum, treeOf(of).quorumRoot),
      },
      gotten: {
        missing: (tree) => this.#missing(treeOf(tree)),
        policies: (tree) => this.#policies(treeOf(tree)),
      },
      dishonest,
    };
  }

  async #accept(loss: string, chosen: string | undefined): Promise<AcceptedHistory<Log>> {
    const reader = this.#reader(new Set());
    const shown = chosen === undefined ? undefined : this.#chosen(chosen);
    // What could not be obtained before may be available now.
    this.#tried.clear();
    for (let turn = 1; turn <= MAX_TURNS;) {
      const accepted = decideAcceptedLoss(reader, this.#shown(shown) ?? undefined);
      if (accepted.is === 'OPEN') {
        await this.#get(treeOf(accepted.get));
        continue;
      }
      if (accepted.is === 'FORKED')
        throw new RestoreError(this.#whyUnread('FORK', accepted.tips[0] && treeOf(accepted.tips[0])));
      const taken = accepted.is === 'TAKEN' ? { tree: treeOf(accepted.tree), length: accepted.length } : undefined;
      // Without any, the history that can be read furthest. Lists were collected in the order of rank, the highest first.
      const goesOn = taken === undefined ? [...this.#lists.keys()] : this.#goingOn(taken.tree, taken.length);
      const reached = (await this.#past(taken?.length ?? 0, shown === undefined ? goesOn : [shown])) ?? taken;
      if (reached === undefined) throw new RestoreError(this.#whyUnread('NOTHING', undefined));
      const read = await this.#accepted(reached, loss);
      if (read !== undefined) return read;
      turn += 1;
    }
    throw new RestoreError(GIVEN_AND_WITHHELD);
  }

  async #accepted({ tree, length }: Reached, loss: string): Promise<AcceptedHistory<Log> | undefined> {
    const { builder } = this.#dependencies;
    const list = this.#listOf(tree);
    const log = await this.#finished({ tree, length });
    if (log === undefined) return undefined;
    const line = 1 + Math.max(...this.#trees().map((one) => one.line));
    const [policies, holes] = [builder.policies(list, length), builder.holes(list, length)];
    return { log, length, tree, line, policies, holes, epoch: this.#highestEpoch(), loss };
  }

  /** The trees of a line that continue the first `length` events of one of them, the longest first. */
  #goingOn(tree: Tree, length: number): readonly Tree[] {
    const isSo = (other: Tree) =>
      other.line === tree.line && equalBytes(other.begun, tree.begun) && this.#common(tree, other) >= length;
    return [...this.#lists.keys()].filter(isSo).sort((a, b) => b.sequence - a.sequence);
  }

  /** The first tree of which more events than `taken` can be obtained, with holes for events that no host gives. */
  async #past(taken: number, trees: readonly Tree[]): Promise<Reached | undefined> {
    const { builder } = this.#dependencies;
    for (const tree of trees) {
      const list = this.#lists.get(tree);
      if (list === undefined || tree.sequence <= taken) continue;
      const length = await builder.getPast({ list, line: tree.line }, tree.sequence, this.#sourcesOf(list));
      if (length > taken) return { tree, length };
    }
    return undefined;
  }

  async #finish(
    reading: Extract<Reading, { is: 'READ' }>,
    suspended: ReadonlySet<string>,
  ): Promise<ReadHistory<Log> | undefined> {
    const { heard, builder, onTrouble } = this.#dependencies;
    const { tree, length } = this.#end(reading);
    const list = this.#listOf(tree);
    const log = await this.#finished({ tree, length });
    if (log === undefined) return undefined;
    const [history, otherEnds] = [treeOf(reading.history), reading.otherEnds.map(treeOf)];
    for (const note of notesOn({ history, otherEnds }, heard)) onTrouble(note);
    const counted = new Set(reading.counted);
    const leftOut = heard.filter(({ host }) => !counted.has(host));
    return {
      ...{ log, length, base: reading.history.sequence, best: treeOf(reading.best) },
      ...{ quorum: reading.quorum, quorumEpoch: reading.quorumEpoch, mayLie: reading.mayLie },
      ...{ policies: builder.policies(list, length), holes: builder.holes(list, length) },
      counted: heard.filter(({ host }) => counted.has(host)),
      leftOut: leftOut.map((host) => ({ host, why: whyLeftOut(host, suspended) })),
      epoch: this.#highestEpoch(),
    };
  }

  /**
   * The log of the first events of a tree; undefined when no host gives one of them any more, although one did before: that is
   * then recorded of the tree.
   */
  async #finished({ tree, length }: Reached): Promise<Log | undefined> {
    const { builder } = this.#dependencies;
    const list = this.#listOf(tree);
    const missing = await builder.get({ list, line: tree.line }, length, this.#sourcesOf(list));
    if (missing === undefined) return builder.finish(list, length);
    this.#tried.set(tree, missing);
    return undefined;
  }

  /** The tree whose root begins with digits. @throws RestoreError unless exactly one root does */
  #chosen(digits: string): Tree {
    const found = this.#trees().filter(({ root }) => digits !== '' && toHex(root).startsWith(digits));
    const [tree] = found;
    if (tree === undefined) throw new RestoreError(`No host shows a history whose root begins with '${digits}'.`);
    if (found.some(({ root }) => !equalBytes(root, tree.root)))
      throw new RestoreError(`Hosts show several histories whose roots begin with '${digits}'. Give more digits.`);
    return tree;
  }

  #highestEpoch(): number {
    const claims = this.#dependencies.heard.map(({ head }) => head.claim?.value.epoch ?? 0);
    return Math.max(0, ...claims, ...this.#trees().map(({ epoch }) => epoch));
  }

  /** Every tree that was shown. */
  #trees(): readonly Tree[] {
    return shownTrees(this.#dependencies.heard);
  }

  /** The tree that the history ends in, and how many of its events are taken. */
  #end({ history, tail }: Extract<Reading, { is: 'READ' }>): { readonly tree: Tree; readonly length: number } {
    return { tree: treeOf(tail?.tree ?? history), length: tail?.length ?? history.sequence };
  }

  /** The entries show how trees relate to each other. */
  async #collectLists(): Promise<void> {
    const { collector } = this.#dependencies;
    const ranked = [...this.#trees()].sort((a, b) => compareRank(b, a));
    for (const tree of ranked) {
      if (this.#lists.has(tree)) continue;
      const list = await collector.listOf(tree);
      if (list !== undefined) this.#lists.set(tree, list);
    }
  }

  async #get(tree: Tree): Promise<void> {
    const { builder, onTrouble } = this.#dependencies;
    const list = this.#lists.get(tree);
    if (list === undefined) {
      onTrouble(
        `no host gives the list of the first ${tree.sequence} events of epoch ${tree.epoch}, which the origin has signed`,
      );
      this.#tried.set(tree, 1);
      return;
    }
    const missing = (await builder.get({ list, line: tree.line }, tree.sequence, this.#sourcesOf(list))) ?? 0;
    const [policies, states] = [builder.policies(list, tree.sequence), builder.states(list, tree.sequence)];
    this.#found.set(tree, { policies, states });
    this.#tried.set(tree, missing);
  }

  #missing(tree: Tree): readonly number[] | undefined {
    const missing = this.#tried.get(tree);
    if (missing !== undefined) return missing === 0 ? [] : [missing];
    // What is missing of another tree is missing of each tree that has it.
    for (const [other, absent] of this.#tried) if (absent > 0 && absent <= this.#common(tree, other)) return [absent];
    return undefined;
  }

  #policies(tree: Tree): readonly KnownPolicy[] {
    return this.#found.get(tree)?.policies ?? [];
  }

  /** The hosts that are SUSPENDED at the end of a history. */
  #suspendedOn({ tree, length }: { readonly tree: Tree; readonly length: number }): ReadonlySet<string> {
    const states = new Map<string, HostState>();
    for (const { sequence, host, state } of this.#found.get(tree)?.states ?? [])
      if (sequence <= length) states.set(host, state);
    return new Set([...states].filter(([, state]) => state === 'SUSPENDED').map(([host]) => host));
  }

  /** How many of the first events of two trees are the same, as far as their entries show. */
  #common(a: Tree, b: Tree): number {
    const [longer, shorter] = a.sequence < b.sequence ? [b, a] : [a, b];
    if (a.sequence === b.sequence && equalBytes(a.root, b.root)) return a.sequence;
    const [longerList, shorterList] = [this.#lists.get(longer), this.#lists.get(shorter)];
    if (longerList === undefined) return 0;
    if (this.#has(longer, shorter.sequence, shorter.root)) return shorter.sequence;
    return shorterList === undefined ? 0 : Math.min(shorter.sequence, longerList.common(shorterList));
  }

  /** Whether the first `count` events of a tree have a root. */
  #has(tree: Tree, count: number, root: Uint8Array): boolean {
    return count <= tree.sequence && this.#lists.get(tree)?.hasRoot(count, root) === true;
  }

  #sourcesOf(list: EntryList): readonly ContentSource[] {
    return contentSources(list, this.#dependencies.heard, (tree) => this.#lists.get(tree));
  }

  #whyUnread(why: Unread, about: Tree | undefined, suspended: ReadonlySet<string> = new Set()): string {
    const { heard, dishonest, mayAcceptLoss } = this.#dependencies;
    const policies = about === undefined ? [] : policiesInPlay(this.#policies(about), about.quorum);
    return whyUnread(why, {
      ...{ about, heard, suspended, dishonest, mayAcceptLoss },
      policies: policies.map(({ policy }) => policy),
      missing: about && this.#missing(about)?.[0],
    });
  }

  #listOf(tree: Tree): EntryList {
    const list = this.#lists.get(tree);
    if (list === undefined) throw new Error('a history was read whose entries no host gave');
    return list;
  }

  #shown(tree: Tree | undefined): Known | null {
    if (tree === undefined) return null;
    const { line, epoch, sequence, quorum } = tree;
    const known = this.#known.get(tree) ?? { line, epoch, sequence, quorum, tree };
    this.#known.set(tree, known);
    return known;
  }
}

function aboutOf({ about }: Extract<Reading, { is: 'REFUSED' }>): Tree | undefined {
  return about === null ? undefined : treeOf(about);
}

function treeOf(shown: ShownTree): Tree {
  return (shown as Known).tree;
}

function whyLeftOut({ host, isPinned, head }: HeardHost, suspended: ReadonlySet<string>): string {
  if (!isPinned) return 'its key is not named';
  if (suspended.has(host)) return 'the history records that it was suspended';
  return `what it shows (event ${head.tree?.value.sequence ?? 0} of epoch ${head.tree?.value.epoch ?? 0}) cannot be obtained, or too few hosts show it`;
}
