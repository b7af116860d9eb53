import { equalBytes } from '../../crypto/bytes.js';
import { MAX_ENTRIES } from '../protocol/answers.js';
import { ENTRY_BYTES } from '../protocol/entry.js';
import { HostFailure } from '../protocol/host-client.js';
import type { HistoryName } from '../protocol/queries.js';
import type { Tree } from '../protocol/tree.js';
import { EntryList } from './entry-list.js';
import type { HeardHost } from './host-survey.js';

/** Entries asked for at first: 16 KiB. */
const FIRST_ENTRIES = 390;
/** A page that comes within this is followed by one of twice its size, in milliseconds. */
const QUICK_MS = 2_000;

/** Who has a tree, and in which of its histories. */
interface Holder {
  readonly host: HeardHost;
  readonly of: HistoryName;
}

/** What entries are collected with. */
export interface CollectorDependencies {
  readonly origin: string;
  readonly hosts: readonly HeardHost[];
  readonly now: () => number;
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
    for (const holder of this.#holdersOf(tree)) {
      const list = await this.#collect(tree, holder);
      if (list === undefined) continue;
      this.#lists.push(list);
      return list;
    }
    return undefined;
  }

  /** A list whose first entries have a root. */
  known(count: number, root: Uint8Array): EntryList | undefined {
    return this.#lists.find((list) => isRootOf(list, count, root));
  }

  /** Those that show the tree first; then the others, which may have it as the beginning of their head. */
  #holdersOf(tree: Tree): readonly Holder[] {
    const showing: Holder[] = [];
    const others: Holder[] = [];
    for (const host of this.#dependencies.hosts)
      for (const of of ['head', 'staged'] as const) {
        const shown = (of === 'head' ? host.head.tree : host.head.staged)?.value;
        if (shown === undefined) continue;
        const isShown = shown.sequence === tree.sequence && equalBytes(shown.root, tree.root);
        if (isShown) showing.push({ host, of });
        else if (shown.sequence > tree.sequence) others.push({ host, of });
      }
    return [...showing, ...others];
  }

  async #collect(tree: Tree, holder: Holder): Promise<EntryList | undefined> {
    const { onTrouble } = this.#dependencies;
    try {
      const from = await this.#prefixOf(tree, holder);
      const bytes = new Uint8Array(tree.sequence * ENTRY_BYTES);
      if (from !== undefined) bytes.set(from.bytesOf(0, from.length));
      if (!(await this.#fill(bytes, from?.length ?? 0, holder))) return undefined;
      await this.#replaceLost(bytes, tree, holder);
      const list = new EntryList(bytes);
      if (isRootOf(list, tree.sequence, tree.root)) return list;
      onTrouble(holder.host, 'the entries that it gives do not have the root that the origin has signed');
    } catch (error) {
      if (!(error instanceof HostFailure)) throw error;
      onTrouble(holder.host, error.message);
    }
    return undefined;
  }

  /** The longest known list that the history of a host begins with, by the roots it gives: when they are wrong, so is the whole. */
  async #prefixOf(tree: Tree, { host, of }: Holder): Promise<EntryList | undefined> {
    const { origin } = this.#dependencies;
    const shorter = this.#lists.filter(({ length }) => length <= tree.sequence);
    for (const list of shorter.sort((a, b) => b.length - a.length)) {
      const root = (await host.client.roots(origin, list.length))[of];
      if (root !== null && isRootOf(list, list.length, root)) return list;
    }
    return undefined;
  }

  /** Fills in the entries after some. Resolves false when the host has fewer. */
  async #fill(bytes: Uint8Array, after: number, { host, of }: Holder): Promise<boolean> {
    const { origin, now, onProgress } = this.#dependencies;
    const length = bytes.byteLength / ENTRY_BYTES;
    let most = FIRST_ENTRIES;
    for (let at = after; at < length;) {
      const begun = now();
      const limit = Math.min(most, length - at);
      const entries = (await host.client.entries(origin, { of, after: at, limit })).slice(0, limit);
      if (entries.length === 0) return false;
      for (const [i, entry] of entries.entries()) bytes.set(entry, (at + i) * ENTRY_BYTES);
      at += entries.length;
      if (now() - begun < QUICK_MS) most = Math.min(MAX_ENTRIES, 2 * most);
      onProgress(at, length);
    }
    return true;
  }

  /** Takes what the host has lost from the others that may have it. */
  async #replaceLost(bytes: Uint8Array, tree: Tree, holder: Holder): Promise<void> {
    const { origin, onTrouble } = this.#dependencies;
    let lost = lostIn(bytes);
    for (const { host, of } of this.#holdersOf(tree)) {
      if (lost.length === 0) return;
      if (host === holder.host && of === holder.of) continue;
      try {
        for (const sequence of lost) {
          const [entry] = await host.client.entries(origin, { of, after: sequence - 1, limit: 1 });
          if (entry !== undefined) bytes.set(entry, (sequence - 1) * ENTRY_BYTES);
        }
      } catch (error) {
        if (!(error instanceof HostFailure)) throw error;
        onTrouble(host, error.message);
      }
      lost = lostIn(bytes);
    }
  }
}

function isRootOf(list: EntryList, count: number, root: Uint8Array): boolean {
  const own = list.rootAt(count);
  return own !== undefined && equalBytes(own, root);
}

/** The numbers of entries that are none: what a host has lost, it gives as zeros. */
function lostIn(bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lost: number[] = [];
  for (let at = 0; at < bytes.byteLength; at += ENTRY_BYTES)
    if (view.getUint16(at) === 0) lost.push(at / ENTRY_BYTES + 1);
  return lost;
}
