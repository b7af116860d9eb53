import { isReplicated } from '../../../domain/event.js';
import type { EventLog } from '../../eventlog/eventlog.js';
import { encodeEntry } from '../protocol/entry.js';
import { EntryList } from './entry-list.js';
import type { HistoryBuilder, ListedHistory } from './history-builder.js';
import { HistoryNotes, type KnownPolicy, type KnownState } from './history-notes.js';
import { holesBy } from './hole-plan.js';
import type { KnownKeys } from './known-keys.js';

/** An existing log in place of one that is built: nothing is fetched, and what it does not have cannot be obtained. */
export class OwnLog implements HistoryBuilder<OwnLog> {
  readonly entries: EntryList;
  /** How many events it has, local ones included. */
  readonly events: number;
  readonly #notes: HistoryNotes;
  readonly #holes: ReadonlySet<number>;

  private constructor(entries: EntryList, events: number, notes: HistoryNotes, holes: ReadonlySet<number>) {
    this.entries = entries;
    this.events = events;
    this.#notes = notes;
    this.#holes = holes;
  }

  /**
   * Reads a complete log, and seals each of its replicated events as it was sealed when it was shipped.
   * @param keys empty; they are learnt on the way
   * @throws LogError LOG_CORRUPT; RepairError when the root key is another
   */
  static async read(
    log: EventLog,
    origin: string,
    keys: KnownKeys,
    onProgress: (position: bigint) => void,
  ): Promise<OwnLog> {
    const entries: Uint8Array[] = [];
    const notes = new HistoryNotes(origin);
    const holes = await declaredIn(log, origin);
    let events = 0;
    for await (const event of log.readAll()) {
      events += 1;
      if (isReplicated(event)) {
        const sequence = entries.length + 1;
        entries.push(encodeEntry(keys.shipped({ sequence, event }, holes)));
        if (event.type === 'KeyRotated') keys.learn(sequence, event.data);
        notes.note(sequence, event);
      }
      onProgress(event.position);
    }
    return new OwnLog(new EntryList(Buffer.concat(entries)), events, notes, holes);
  }

  get({ list }: ListedHistory, to: number): Promise<number | undefined> {
    const common = this.entries.common(list);
    return Promise.resolve(common >= to ? undefined : common + 1);
  }

  getPast({ list }: ListedHistory, to: number): Promise<number> {
    return Promise.resolve(Math.min(to, this.entries.common(list)));
  }

  holes(list: EntryList, to: number): readonly number[] {
    const common = this.entries.common(list);
    return [...this.#holes].filter((sequence) => sequence <= Math.min(to, common));
  }

  finish(): Promise<OwnLog> {
    return Promise.resolve(this);
  }

  policies(list: EntryList, to: number): readonly KnownPolicy[] {
    return this.#notes.policies(Math.min(to, this.entries.common(list)));
  }

  states(list: EntryList, to: number): readonly KnownState[] {
    return this.#notes.states(Math.min(to, this.entries.common(list)));
  }

  /** The hosts that its policies name. */
  get namedHosts(): ReadonlySet<string> {
    const policies = this.#notes.policies(this.entries.length);
    return new Set(policies.flatMap(({ policy }) => policy.hosts.map(({ host }) => host)));
  }
}

/** The numbers of the HistoryHoles that a log's own facts declare. */
async function declaredIn(log: EventLog, origin: string): Promise<ReadonlySet<number>> {
  const holes = new Set<number>();
  const types = ['ReplicationPolicySet', 'ReplicasAcknowledged'];
  for await (const event of log.readAll({ filter: { types } }))
    for (const hole of holesBy(event, origin)) holes.add(hole);
  return holes;
}
