import { ETYPES, isEventType, isReplicated, type RecordedEvent } from '../../../domain/event.js';
import { equalBytes } from '../../crypto/bytes.js';
import type { RootKey } from '../../crypto/root-key.js';
import type { Gap, Remains } from './damage.js';
import { NotAnEvent, NotSealedHere, EnvelopeReader, type OpenedEvent } from './envelope-reader.js';
import { RepairError } from './errors.js';
import type { HostHistory } from './host-histories.js';
import type { KnownKeys } from './known-keys.js';
import type { OutboxNumbers } from './outbox-numbers.js';

/** What fills a damaged position: an event from a host, or, for a local event, what a truncation leaves. */
export interface Filling {
  readonly position: number;
  readonly remains: Remains | undefined;
  readonly fetched: Fetched | undefined;
}

/** An event with the host that gave it: URL and fingerprint, for display. */
export interface Fetched {
  readonly event: OpenedEvent;
  readonly from: string;
}

/** Dependencies of a gap filler. */
export interface FillingDependencies {
  readonly origin: string;
  readonly root: RootKey;
  /** The keys before the gap; those that are fetched are added. */
  readonly keys: KnownKeys;
  readonly outbox: OutboxNumbers | undefined;
  /** A history of the hosts; undefined when no host was asked. */
  readonly history: HostHistory | undefined;
}

/** Finds what belongs in the gaps of a log, one gap after the other. */
export class GapFiller {
  readonly #dependencies: FillingDependencies;
  /** Events that were fetched for counting, so that they are not fetched again. */
  readonly #fetched = new Map<number, Fetched>();

  constructor(dependencies: FillingDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Finds the fillings of a gap.
   * @param first the number of the first replicated event of the gap, if there is one
   * @returns the fillings, and the positions for which no host has anything
   * @throws RepairError when it cannot be decided which of the events are replicated
   */
  async fill(gap: Gap, first: number): Promise<{ readonly fillings: Filling[]; readonly empty: number[] }> {
    const replicated = (await this.#rememberedIn(gap, first)) ?? (await this.#countedIn(gap, first));
    await this.#fetch(first, first + replicated.size - 1);
    const fillings: Filling[] = [];
    const empty: number[] = [];
    let sequence = first;
    for (let position = gap.from; position <= gap.to; position += 1) {
      const remains = gap.remains.get(position);
      if (!replicated.has(position)) {
        fillings.push({ position, remains, fetched: undefined });
        continue;
      }
      const fetched = this.#fetched.get(sequence);
      if (fetched === undefined) empty.push(position);
      else fillings.push({ position, remains, fetched });
      sequence += 1;
    }
    this.#fetched.clear();
    return { fillings, empty };
  }

  /**
   * Which positions of a gap hold replicated events, by the outbox; undefined when it does not know, or its numbers
   * differ.
   */
  async #rememberedIn({ from, to }: Gap, first: number): Promise<ReadonlySet<number> | undefined> {
    const { outbox } = this.#dependencies;
    if (outbox === undefined || outbox.through < to) return undefined;
    const numbers = await outbox.between(from, to);
    if (![...numbers.values()].every((number, i) => number === first + i)) return undefined;
    return new Set(numbers.keys());
  }

  /** The same, from what the rows still show and from how many events the hosts have in between. */
  async #countedIn(gap: Gap, first: number): Promise<ReadonlySet<number>> {
    const replicated = new Set<number>();
    const unclear: number[] = [];
    for (let position = gap.from; position <= gap.to; position += 1) {
      const does = isReplicatedRow(gap.remains.get(position));
      if (does === undefined) unclear.push(position);
      else if (does) replicated.add(position);
    }
    if (unclear.length === 0) return replicated;
    const most = replicated.size + unclear.length;
    const count = await this.#countUntil(gap.next, first, { least: replicated.size, most });
    if (count === replicated.size) return replicated;
    if (count === most) return new Set([...replicated, ...unclear]);
    throw new RepairError(
      `The log, outbox.db and the hosts that answer do not show what was at the positions ${gap.from} to ${gap.to}. Run the repair again when more hosts answer, or run \`sheratan restore\` into an empty folder.`,
    );
  }

  /**
   * How many events the hosts have from the number `first` to before the event `next`; undefined when they do not show
   * it.
   */
  async #countUntil(
    next: RecordedEvent | undefined,
    first: number,
    { least, most }: { readonly least: number; readonly most: number },
  ): Promise<number | undefined> {
    const { history } = this.#dependencies;
    if (history === undefined) return undefined;
    if (next === undefined) return Math.max(0, Math.min(most, history.list.length - first + 1));
    for (let count = least; count <= most; count += 1) if (await this.#isAt(next, first, first + count)) return count;
    return undefined;
  }

  /** Whether the hosts have an event at a number. @param first the number from which on keys may be unknown */
  async #isAt(event: RecordedEvent, first: number, sequence: number): Promise<boolean> {
    const { history, keys } = this.#dependencies;
    if (history === undefined || sequence > history.list.length) return false;
    const entry = history.list.at(sequence);
    if (entry.etype !== event.etype || entry.ts !== Date.parse(event.metadata.at)) return false;
    for (let number = first; number < sequence; number += 1)
      if (history.list.at(number).etype === ETYPES.KeyRotated) await this.#fetch(number, number);
    return equalBytes(keys.seal({ sequence, event }).eid, entry.eid);
  }

  /** Fetches events by their addresses, and opens them. @throws RepairError when one does not open */
  async #fetch(from: number, to: number): Promise<void> {
    const { origin, root, keys, history } = this.#dependencies;
    if (history === undefined) return;
    for (const [sequence, event] of await history.fetch(from, to, this.#fetched)) {
      try {
        const opened = new EnvelopeReader(root, origin, keys.at(sequence)).open(event);
        if (opened.type === 'KeyRotated') keys.learn(sequence, opened.data);
        this.#fetched.set(sequence, { event: opened, from: history.nameOf(event.host) });
      } catch (error) {
        if (!(error instanceof NotAnEvent) && !(error instanceof NotSealedHere)) throw error;
        throw new RepairError(
          `Event ${sequence} of '${origin}' was fetched as the origin has signed it, but does not open: ${error.message} Give the recovery key of this log (--key -), and check SHERATAN_ORIGIN.`,
          { cause: error },
        );
      }
    }
  }
}

/** Whether an event is replicated, by its damaged row; undefined when the row does not show it. */
function isReplicatedRow(remains: Remains | undefined): boolean | undefined {
  if (remains === undefined) return undefined;
  const { type, etype } = remains;
  if (typeof type === 'string' && isEventType(type)) return isReplicated({ type, etype: ETYPES[type] });
  const byNumber = Object.entries(ETYPES).find(([, number]) => number === etype);
  return byNumber && isReplicated({ type: byNumber[0], etype: byNumber[1] });
}
