import { backoffMs } from '../../../domain/backoff.js';
import { equalBytes } from '../../crypto/bytes.js';
import { MAX_ENTRIES } from '../protocol/answers.js';
import { ENTRY_BYTES } from '../protocol/entry.js';
import { HostFailure } from '../protocol/host-client.js';
import type { HistoryName } from '../protocol/queries.js';
import type { Tree } from '../protocol/tree.js';
import type { Time } from '../replication/ports.js';
import { EntryList } from './entry-list.js';
import type { HeardHost } from './host-survey.js';

/** Entries asked for at first: 16 KiB. */
const FIRST_ENTRIES = 390;
/** A page that comes within this is followed by one of twice its size, in milliseconds. */
const QUICK_MS = 2_000;

/** How often all who may have a list are asked, where the reason of a failure may pass. */
const MAX_ROUNDS = 8;
/** Lists of which more entries are lost than this are got from another host first. */
const MANY_LOST = 100;

/** How many ways there may be to put lost entries together. */
const MAX_ATTEMPTS = 64;

/** Who has a tree, in which of its histories, and what was got there so far. */
interface Holder {
  readonly host: HeardHost;
  readonly of: HistoryName;
  bytes?: Uint8Array;
  at: number;
  isUseless: boolean;
}

/** What entries are collected with. */
export interface CollectorDependencies {
  readonly origin: string;
  readonly hosts: readonly HeardHost[];
  readonly time: Pick<Time, 'now' | 'sleep' | 'random'>;
  readonly onProgress: (entries: number, of: number) => void;
  /** Something is wrong with what a host gives. */
  readonly onTrouble: (host: HeardHost, why: string) => void;
}

/**
 * Gets the lists of entries that trees are over. A list is the one that has the root that the origin has signed, whoever
 * gives it; entries that one host has lost are taken from another.
 */
export class EntryCollector {
  readonly #dependencies: CollectorDependencies;
  readonly #lists: EntryList[] = [];

  constructor(dependencies: CollectorDependencies) {
    this.#dependencies = dependencies;
  }

  /** The list of a tree's entries, or a longer one that begins with it; undefined when nobody gives it. */
  async listOf(tree: Tree): Promise<EntryList | undefined> {
    const known = this.known(tree.sequence, tree.root);
    if (known !== undefined) return known;
    const { time } = this.#dependencies;
    const holders = this.#holdersOf(tree);
    for (let round = 1; round <= MAX_ROUNDS; round += 1) {
      for (const most of [MANY_LOST, Infinity])
        for (const holder of holders) {
          const list = holder.isUseless ? undefined : await this.#collect(tree, holder, holders, most);
          if (list === undefined) continue;
          this.#lists.push(list);
          return list;
        }
      if (holders.every(({ isUseless }) => isUseless)) return undefined;
      await time.sleep(backoffMs(round, time.random()), new AbortController().signal);
    }
    return undefined;
  }

  /** A list whose first entries have a root. */
  known(count: number, root: Uint8Array): EntryList | undefined {
    return this.#lists.find((list) => list.hasRoot(count, root));
  }

  /** Those that show the tree first; then the others, which may have it as the beginning of what they show. */
  #holdersOf(tree: Tree): readonly Holder[] {
    const showing: Holder[] = [];
    const others: Holder[] = [];
    for (const host of this.#dependencies.hosts)
      for (const of of ['head', 'staged'] as const) {
        const shown = (of === 'head' ? host.head.tree : host.head.staged)?.value;
        if (shown === undefined) continue;
        const isShown = shown.sequence === tree.sequence && equalBytes(shown.root, tree.root);
        const holder = { host, of, at: 0, isUseless: false };
        if (isShown) showing.push(holder);
        else if (shown.sequence > tree.sequence) others.push(holder);
      }
    return [...showing, ...others];
  }

  /** @param most how many entries the host may have lost */
  async #collect(tree: Tree, holder: Holder, holders: readonly Holder[], most: number): Promise<EntryList | undefined> {
    const { onTrouble } = this.#dependencies;
    try {
      const bytes = (holder.bytes ??= await this.#begin(tree, holder));
      if (!(await this.#fill(bytes, holder))) {
        holder.isUseless = true;
        return undefined;
      }
      const lost = lostIn(bytes);
      if (lost.length > most) return undefined;
      await this.#replaceLost(bytes, holder, holders);
      const list = new EntryList(bytes);
      if (list.hasRoot(tree.sequence, tree.root)) return list;
      const mended = await this.#withBeginnings(tree, bytes, lost);
      if (mended !== undefined) return mended;
      onTrouble(holder.host, 'the entries that it gives do not have the root that the origin has signed');
      holder.isUseless = true;
    } catch (error) {
      if (!(error instanceof HostFailure)) throw error;
      onTrouble(holder.host, error.message);
    }
    return undefined;
  }

  /** Room for the entries of a tree, with what is known of them. */
  async #begin(tree: Tree, holder: Holder): Promise<Uint8Array> {
    const from = await this.#prefixOf(tree, holder);
    const bytes = new Uint8Array(tree.sequence * ENTRY_BYTES);
    if (from !== undefined) bytes.set(from.bytesOf(0, from.length));
    holder.at = from?.length ?? 0;
    return bytes;
  }

  /** The longest known list that the history of a host begins with, by the roots it gives: when they are wrong, so is the whole. */
  async #prefixOf(tree: Tree, { host, of }: Holder): Promise<EntryList | undefined> {
    const { origin } = this.#dependencies;
    const shorter = this.#lists.filter(({ length }) => length <= tree.sequence);
    for (const list of shorter.sort((a, b) => b.length - a.length)) {
      const root = (await host.client.roots(origin, list.length))[of];
      if (root !== null && list.hasRoot(list.length, root)) return list;
    }
    return undefined;
  }

  /** Fills in the entries that have not been got yet. Resolves false when the host does not give as many as it is asked for. */
  async #fill(bytes: Uint8Array, holder: Holder): Promise<boolean> {
    const { origin, time, onProgress, onTrouble } = this.#dependencies;
    const { host, of } = holder;
    const length = bytes.byteLength / ENTRY_BYTES;
    let most = FIRST_ENTRIES;
    while (holder.at < length) {
      const begun = time.now().getTime();
      const limit = Math.min(most, length - holder.at);
      const entries = await host.client.entries(origin, { of, after: holder.at, limit });
      if (entries.length !== limit) {
        onTrouble(host, `it gives ${entries.length} entries, and was asked for ${limit}`);
        return false;
      }
      for (const [i, entry] of entries.entries()) bytes.set(entry, (holder.at + i) * ENTRY_BYTES);
      holder.at += limit;
      if (time.now().getTime() - begun < QUICK_MS) most = Math.min(MAX_ENTRIES, 2 * most);
      onProgress(holder.at, length);
    }
    return true;
  }

  /** Takes what the host has lost from the others that may have it. */
  async #replaceLost(bytes: Uint8Array, holder: Holder, holders: readonly Holder[]): Promise<void> {
    for (const { host, of } of holders.filter((other) => other !== holder))
      await this.#replaceFrom(host, of, bytes, lostIn(bytes));
  }

  /**
   * The list of a tree, with what is lost taken from hosts whose histories are shorter, or others: their first events may
   * be the same. Which of them are is told by the root alone, so what they give is tried in turn.
   */
  async #withBeginnings(tree: Tree, bytes: Uint8Array, lost: readonly number[]): Promise<EntryList | undefined> {
    if (lost.length === 0 || lost.length > MANY_LOST) return undefined;
    const candidates = new Map(lost.map((sequence): [number, Uint8Array[]] => [sequence, []]));
    for (const host of this.#dependencies.hosts)
      for (const of of ['head', 'staged'] as const) {
        const shown = (of === 'head' ? host.head.tree : host.head.staged)?.value;
        const given = new Uint8Array(bytes.byteLength);
        const asked = lost.filter((sequence) => sequence <= (shown?.sequence ?? 0));
        await this.#replaceFrom(host, of, given, asked);
        for (const sequence of asked) {
          const entry = given.subarray((sequence - 1) * ENTRY_BYTES, sequence * ENTRY_BYTES);
          const known = candidates.get(sequence) ?? [];
          if (entry.some((byte) => byte !== 0) && !known.some((one) => equalBytes(one, entry))) known.push(entry);
        }
      }
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const filled = Uint8Array.from(bytes);
      let rest = attempt;
      for (const [sequence, entries] of candidates) {
        const entry = entries[rest % entries.length];
        if (entry === undefined) return undefined;
        filled.set(entry, (sequence - 1) * ENTRY_BYTES);
        rest = Math.floor(rest / entries.length);
      }
      // There are no more.
      if (rest > 0) return undefined;
      const list = new EntryList(filled);
      if (list.hasRoot(tree.sequence, tree.root)) return list;
    }
    return undefined;
  }

  /** Takes entries from a history of a host. */
  async #replaceFrom(host: HeardHost, of: HistoryName, bytes: Uint8Array, sequences: readonly number[]): Promise<void> {
    const { origin, onTrouble } = this.#dependencies;
    try {
      for (const { after, limit } of runsOf(sequences)) {
        const entries = await host.client.entries(origin, { of, after, limit });
        for (const [i, entry] of entries.slice(0, limit).entries()) bytes.set(entry, (after + i) * ENTRY_BYTES);
      }
    } catch (error) {
      if (!(error instanceof HostFailure)) throw error;
      onTrouble(host, error.message);
    }
  }
}

/** The numbers of entries that are none: what a host has lost, it gives as zeros. */
function lostIn(bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lost: number[] = [];
  for (let at = 0; at < bytes.byteLength; at += ENTRY_BYTES)
    if (view.getUint16(at) === 0) lost.push(at / ENTRY_BYTES + 1);
  return lost;
}

/** Numbers that follow one another, as pages. */
function runsOf(sequences: readonly number[]): readonly { readonly after: number; readonly limit: number }[] {
  const runs: { after: number; limit: number }[] = [];
  for (const sequence of sequences) {
    const last = runs.at(-1);
    if (last !== undefined && last.after + last.limit === sequence - 1 && last.limit < MAX_ENTRIES) last.limit += 1;
    else runs.push({ after: sequence - 1, limit: 1 });
  }
  return runs;
}
