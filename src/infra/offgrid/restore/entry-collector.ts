import { backoffMs } from '../../../domain/backoff.js';
import { equalBytes } from '../../crypto/bytes.js';
import type { Time } from '../../platform/clock.js';
import { MAX_ENTRIES } from '../protocol/answers.js';
import { ENTRY_BYTES } from '../protocol/entry.js';
import { HostFailure } from '../protocol/host-client.js';
import type { HistoryName } from '../protocol/queries.js';
import { sizeAfter, sizeAfterTimeout } from '../protocol/transfer-size.js';
import type { Tree } from '../protocol/tree.js';
import { EntryList } from './entry-list.js';
import { hedged, type Attempt } from './hedge.js';
import type { HeardHost } from './host-survey.js';
import { UsualTime } from './usual-time.js';

/** Entries asked for at first: 16 KiB. */
const FIRST_ENTRIES = 390;

/** How often all hosts that may have a list are asked, when the reason for a failure may pass. */
const MAX_ROUNDS = 8;
/** A list with more lost entries than this is taken from another host first. */
const MANY_LOST = 100;

/** The most combinations of lost entries that are tried. */
const MAX_ATTEMPTS = 64;

/** A host that may have a tree, in which of its histories, and what was fetched from it so far. */
interface Holder {
  readonly host: HeardHost;
  readonly of: HistoryName;
  bytes?: Uint8Array;
  at: number;
  /** How many entries it is asked for at a time. */
  most: number;
  /** The time since which it is waited for, in milliseconds. */
  since: number;
  isUseless: boolean;
}

/** Dependencies of an entry collector. */
export interface CollectorDependencies {
  readonly origin: string;
  readonly hosts: readonly HeardHost[];
  readonly time: Pick<Time, 'now' | 'sleep' | 'random'>;
  readonly onProgress: (entries: number, of: number) => void;
  /** Called when something is wrong with what a host gives. */
  readonly onTrouble: (host: HeardHost, why: string) => void;
}

/**
 * Fetches the lists of entries that trees are computed from. A list is right when it has the root that the origin has
 * signed, whichever host gives it; entries that one host has lost are taken from another.
 */
export class EntryCollector {
  readonly #dependencies: CollectorDependencies;
  readonly #lists: EntryList[] = [];
  /** How long hosts usually take, and how often they were late. */
  readonly #usual = new Map<string, UsualTime>();
  readonly #late = new Map<string, number>();
  /** Hosts that gave nothing in any round: they are no longer waited for. */
  readonly #gone = new Set<string>();

  constructor(dependencies: CollectorDependencies) {
    this.#dependencies = dependencies;
  }

  /** The list of a tree's entries, or a longer one that begins with it; undefined when no host gives it. */
  async listOf(tree: Tree): Promise<EntryList | undefined> {
    const known = this.known(tree.sequence, tree.root);
    if (known !== undefined) return known;
    const { time } = this.#dependencies;
    const holders = this.#holdersOf(tree);
    const mayGive = () => holders.filter(({ isUseless }) => !isUseless);
    for (let round = 1; round <= MAX_ROUNDS; round += 1) {
      const list =
        (await this.#collectOf(tree, mayGive(), MANY_LOST)) ??
        (await this.#collectOf(tree, mayGive().filter(isFull), Infinity));
      if (list !== undefined) {
        this.#lists.push(list);
        return list;
      }
      if (mayGive().every(({ host }) => this.#gone.has(host.host))) return undefined;
      await time.sleep(backoffMs(round, time.random()), new AbortController().signal);
    }
    for (const { host } of mayGive()) this.#gone.add(host.host);
    return undefined;
  }

  /** The list from the first of some hosts that gives it: when one is late, the next is asked as well. */
  #collectOf(tree: Tree, holders: readonly Holder[], most: number): Promise<EntryList | undefined> {
    const { time } = this.#dependencies;
    // A host that does not answer for one of its histories does not answer for the other.
    const out = new Set<string>();
    const attempts = holders.map((holder): Attempt<EntryList> => {
      const { host } = holder.host;
      let wasLate = false;
      return {
        run: async (signal) => {
          if (out.has(host)) return undefined;
          out.add(host);
          holder.since = time.now().getTime();
          try {
            const list = await this.#collect(tree, { holder, holders, most }, signal);
            out.delete(host);
            return list;
          } catch (error) {
            if (!(error instanceof HostFailure)) throw error;
            // Another host was faster.
            if (!signal.aborted) this.#failed(holder, error);
            return undefined;
          }
        },
        isLate: (times) => {
          const isLate = time.now().getTime() - holder.since > times * this.#usualOf(host).patienceMs;
          if (isLate && !wasLate) this.#late.set(host, (this.#late.get(host) ?? 0) + 1);
          wasLate ||= isLate;
          return isLate;
        },
      };
    });
    return hedged(attempts, time);
  }

  #failed(holder: Holder, { code, message }: HostFailure): void {
    // What the host no longer has does not return by asking again.
    if (code === 'NOT_FOUND') holder.isUseless = true;
    if (code === 'TIMEOUT') holder.most = entriesIn(sizeAfterTimeout(bytesOf(holder.most)));
    this.#dependencies.onTrouble(holder.host, message);
  }

  #usualOf(host: string): UsualTime {
    const usual = this.#usual.get(host) ?? new UsualTime();
    this.#usual.set(host, usual);
    return usual;
  }

  /** A list whose first entries have a root. */
  known(count: number, root: Uint8Array): EntryList | undefined {
    return this.#lists.find((list) => list.hasRoot(count, root));
  }

  /**
   * First the hosts that show the tree; then the others, which may have it as the beginning of what they show. In each
   * group, hosts that were late come last.
   */
  #holdersOf(tree: Tree): readonly Holder[] {
    const showing: Holder[] = [];
    const others: Holder[] = [];
    for (const host of this.#dependencies.hosts)
      for (const of of ['head', 'staged'] as const) {
        const shown = (of === 'head' ? host.head.tree : host.head.staged)?.value;
        if (shown === undefined) continue;
        const isShown = shown.sequence === tree.sequence && equalBytes(shown.root, tree.root);
        const holder = { host, of, at: 0, most: FIRST_ENTRIES, since: 0, isUseless: false };
        if (isShown) showing.push(holder);
        else if (shown.sequence > tree.sequence) others.push(holder);
      }
    const lateness = ({ host }: Holder) => this.#late.get(host.host) ?? 0;
    return [showing, others].flatMap((some) => some.sort((a, b) => lateness(a) - lateness(b)));
  }

  /**
   * Collects the list of a tree from one host; undefined when the host does not give it.
   * @param most how many entries the host may have lost
   * @throws HostFailure when it may give them later
   */
  async #collect(
    tree: Tree,
    { holder, holders, most }: { readonly holder: Holder; readonly holders: readonly Holder[]; readonly most: number },
    signal: AbortSignal,
  ): Promise<EntryList | undefined> {
    const bytes = (holder.bytes ??= await this.#begin(tree, holder, signal));
    const isGiven = await this.#fill(bytes, holder, signal);
    this.#gone.delete(holder.host.host);
    holder.isUseless = !isGiven;
    if (!isGiven) return undefined;
    const lost = lostIn(bytes);
    if (lost.length > most) return undefined;
    await this.#replaceLost(bytes, holder, holders);
    const list = new EntryList(bytes);
    if (list.hasRoot(tree.sequence, tree.root)) return list;
    const mended = await this.#withBeginnings(tree, bytes, lost);
    if (mended !== undefined) return mended;
    this.#dependencies.onTrouble(
      holder.host,
      'the entries that it gives do not have the root that the origin has signed',
    );
    holder.isUseless = true;
    return undefined;
  }

  /** A buffer for the entries of a tree, with the known ones filled in. */
  async #begin(tree: Tree, holder: Holder, signal: AbortSignal): Promise<Uint8Array> {
    const from = await this.#prefixOf(tree, holder, signal);
    const bytes = new Uint8Array(tree.sequence * ENTRY_BYTES);
    if (from !== undefined) bytes.set(from.bytesOf(0, from.length));
    holder.at = from?.length ?? 0;
    return bytes;
  }

  /**
   * The longest known list that the history of a host begins with, by the roots it gives: if these are wrong, so is the
   * result.
   */
  async #prefixOf(tree: Tree, { host, of }: Holder, signal: AbortSignal): Promise<EntryList | undefined> {
    const { origin } = this.#dependencies;
    const shorter = this.#lists.filter(({ length }) => length <= tree.sequence);
    for (const list of shorter.sort((a, b) => b.length - a.length)) {
      const root = (await host.client.roots(origin, list.length, signal))[of];
      if (root !== null && list.hasRoot(list.length, root)) return list;
    }
    return undefined;
  }

  /**
   * Fetches the entries that are still missing. Resolves false when the host does not give as many as it is asked for.
   */
  async #fill(bytes: Uint8Array, holder: Holder, signal: AbortSignal): Promise<boolean> {
    const { origin, time, onProgress, onTrouble } = this.#dependencies;
    const { host, of } = holder;
    const length = bytes.byteLength / ENTRY_BYTES;
    while (holder.at < length) {
      holder.since = time.now().getTime();
      const limit = Math.min(holder.most, length - holder.at);
      const entries = await host.client.entries(origin, { of, after: holder.at, limit }, signal);
      if (entries.length !== limit) {
        onTrouble(host, `it gives ${entries.length} entries, but was asked for ${limit}`);
        return false;
      }
      for (const [i, entry] of entries.entries()) bytes.set(entry, (holder.at + i) * ENTRY_BYTES);
      holder.at += limit;
      const took = time.now().getTime() - holder.since;
      this.#usualOf(host.host).add(took);
      holder.most = entriesIn(sizeAfter(bytesOf(holder.most), took, bytesOf(MAX_ENTRIES)));
      onProgress(holder.at, length);
    }
    return true;
  }

  /** Takes the entries that the host has lost from the others that may have them. */
  async #replaceLost(bytes: Uint8Array, holder: Holder, holders: readonly Holder[]): Promise<void> {
    for (const { host, of } of holders.filter((other) => other !== holder && !this.#gone.has(other.host.host)))
      await this.#replaceFrom(host, of, bytes, lostIn(bytes));
  }

  /**
   * The list of a tree, with lost entries taken from hosts whose histories are shorter, or others: their first events
   * may be the same. Only the root shows which of them are, so the entries they give are tried in turn.
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
      // All combinations have been tried.
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

/** Whether a host has given all that it was asked for. */
function isFull({ bytes, at }: Holder): boolean {
  return at * ENTRY_BYTES === bytes?.byteLength;
}

function bytesOf(entries: number): number {
  return entries * ENTRY_BYTES;
}

function entriesIn(bytes: number): number {
  return Math.ceil(bytes / ENTRY_BYTES);
}

/** The numbers of lost entries: a host gives zeros for what it has lost. */
function lostIn(bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lost: number[] = [];
  for (let at = 0; at < bytes.byteLength; at += ENTRY_BYTES)
    if (view.getUint16(at) === 0) lost.push(at / ENTRY_BYTES + 1);
  return lost;
}

/** Consecutive numbers, as pages. */
function runsOf(sequences: readonly number[]): readonly { readonly after: number; readonly limit: number }[] {
  const runs: { after: number; limit: number }[] = [];
  for (const sequence of sequences) {
    const last = runs.at(-1);
    if (last !== undefined && last.after + last.limit === sequence - 1 && last.limit < MAX_ENTRIES) last.limit += 1;
    else runs.push({ after: sequence - 1, limit: 1 });
  }
  return runs;
}
