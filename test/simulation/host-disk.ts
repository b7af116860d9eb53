import { HASH_BYTES } from '../../src/domain/merkle.js';
import { equalBytes } from '../../src/infra/crypto/bytes.js';
import { RefusalError } from '../../src/infra/offgrid/host/refusal-error.js';
import type {
  HistoryChange,
  LeafEvent,
  MendedEvent,
  Page,
  Places,
  ReplicaStore,
  StoredOrigin,
  StoredRow,
  WholeEvent,
} from '../../src/infra/offgrid/host/replica-store.js';
import { addressOf } from '../../src/infra/crypto/envelope.js';
import { encodeEntry, leafHash } from '../../src/infra/offgrid/protocol/entry.js';
import type { StoredEvent } from '../../src/infra/offgrid/protocol/events-answer.js';
import type { HistoryName } from '../../src/infra/offgrid/protocol/queries.js';
import type { SignedThing } from '../../src/infra/offgrid/protocol/signed.js';
import type { Random } from '../support/random.js';
import { pause, type Life, type VirtualClock } from './virtual-time.js';

/** An event as a disk has it. Rows are never changed: an older state of the disk keeps the older rows. */
export interface DiskRow extends WholeEvent {
  readonly isDamaged: boolean;
  /** The leaf as it was written, if it has changed since. */
  readonly written?: Uint8Array;
}

/** Everything that a host keeps of the origin. */
export interface DiskState extends StoredOrigin {
  readonly rows: Readonly<Record<HistoryName, readonly DiskRow[]>>;
}

/** What a disk does to writes. */
export interface DiskFaults {
  /** Whether there is no space now. */
  isFull: boolean;
  /** How often a write fails although there is space. */
  failure: number;
  /** The longest that a write takes, in milliseconds. */
  maxDelayMs: number;
}

const EMPTY: Places = { head: { sequence: 0, peaks: [] }, staged: { sequence: 0, peaks: [] }, common: 0 };

/** The disk of a host: what is on it survives the host. */
export class HostDisk {
  readonly faults: DiskFaults = { isFull: false, failure: 0, maxDelayMs: 5 };
  /** Trees that were refused as forks. */
  forks = 0;
  #state: DiskState | undefined;
  /** Called with each change, except those that are put on it from outside. */
  onChanged: (after: DiskState, before: DiskState | undefined) => void = () => undefined;

  get state(): DiskState | undefined {
    return this.#state;
  }

  /** Replaces what is on it, as no write does: with an older state, or a damaged one. */
  replace(state: DiskState | undefined): void {
    this.#state = state;
  }

  write(state: DiskState): void {
    const before = this.#state;
    this.#state = state;
    this.onChanged(state, before);
  }

  /** Changes the row of an event, of each history that has it. */
  rot(sequence: number, change: (row: DiskRow) => DiskRow): void {
    const state = this.#state;
    const row = state?.rows.head[sequence - 1] ?? state?.rows.staged[sequence - 1];
    if (state === undefined || row === undefined) return;
    this.replace(withRows(state, [sequence], (other) => (other === row ? change(row) : other)));
  }
}

/** A state with some rows changed, in both histories. */
function withRows(state: DiskState, sequences: readonly number[], change: (row: DiskRow) => DiskRow): DiskState {
  const changed = (rows: readonly DiskRow[]) => {
    const copy = [...rows];
    for (const sequence of sequences) {
      const row = copy[sequence - 1];
      if (row !== undefined) copy[sequence - 1] = change(row);
    }
    return copy;
  };
  const { head, staged } = state.rows;
  const rows = { head: changed(head), staged: changed(staged) };
  // Events that the histories have in common are stored once.
  for (const sequence of sequences)
    if (head[sequence - 1] === staged[sequence - 1] && staged[sequence - 1] !== undefined)
      rows.staged[sequence - 1] = rows.head[sequence - 1]!;
  return { ...state, rows };
}

/** A host's store on its disk, for as long as the host lives. A write reaches the disk completely, or not at all. */
export class MemoryReplicaStore implements ReplicaStore {
  readonly #disk: HostDisk;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #life: Life;

  constructor(disk: HostDisk, clock: VirtualClock, random: Random, life: Life) {
    this.#disk = disk;
    this.#clock = clock;
    this.#random = random;
    this.#life = life;
  }

  async load(): Promise<StoredOrigin | undefined> {
    return this.#disk.state;
  }

  grant(_origin: string, key: Uint8Array, claim: SignedThing<'claim'>): Promise<void> {
    return this.#write(() => {
      const fresh = { key, head: null, staged: null, known: null, places: EMPTY, rows: { head: [], staged: [] } };
      return { ...(this.#disk.state ?? fresh), claim };
    });
  }

  change(_origin: string, { before, base, keep, added, becomes, tree, places, known }: HistoryChange): Promise<void> {
    return this.#write(() => {
      const state = this.#kept();
      if (state.places !== before) throw new Error('a batch was decided on a state that is no longer stored');
      const rows = [...state.rows[base].slice(0, keep), ...added.map(written)];
      if (becomes === 'head')
        return { ...state, places, known, head: tree, staged: null, rows: { head: rows, staged: [] } };
      return { ...state, places, known, staged: tree, rows: { head: state.rows.head, staged: rows } };
    });
  }

  renew(_origin: string, trees: Partial<Pick<StoredOrigin, 'head' | 'known'>>): Promise<void> {
    return this.#write(() => ({ ...this.#kept(), ...trees }));
  }

  place(_origin: string, places: Places): Promise<void> {
    return this.#write(() => ({ ...this.#kept(), places }));
  }

  keepFork(): Promise<void> {
    return this.#write(() => {
      this.#disk.forks += 1;
      return this.#kept();
    });
  }

  async leaves(_origin: string, of: HistoryName, from: number, to: number): Promise<Uint8Array> {
    const leaves = new Uint8Array(Math.max(0, to - from + 1) * HASH_BYTES);
    for (const [i, { leaf }] of this.#kept()
      .rows[of].slice(from - 1, to)
      .entries())
      leaves.set(leaf, i * HASH_BYTES);
    return leaves;
  }

  async rows(_origin: string, page: Page): Promise<readonly StoredRow[]> {
    return this.#page(page).map((row, i) => ({ ...row, sequence: page.after + 1 + i }));
  }

  async events(_origin: string, page: Page, maxBytes: number): Promise<readonly StoredEvent[]> {
    const events: StoredEvent[] = [];
    const found: number[] = [];
    let bytes = 0;
    for (const [i, row] of this.#page(page).entries()) {
      bytes += row.sealed.byteLength;
      if (i > 0 && bytes > maxBytes) break;
      const sequence = page.after + 1 + i;
      const { etype, ts, sealed } = row;
      events.push({ sequence, etype, ts, sealed: isWhole(row) ? sealed : null });
      if (!isWhole(row)) found.push(sequence);
    }
    if (found.length > 0) await this.#mark(found);
    return events;
  }

  async damaged(_origin: string, after: number, limit: number): Promise<readonly number[]> {
    return this.#damaged()
      .filter((sequence) => sequence > after)
      .slice(0, limit);
  }

  async countDamaged(): Promise<number> {
    return this.#damaged().length;
  }

  mark(_origin: string, sequences: readonly number[]): Promise<void> {
    return this.#mark(sequences);
  }

  async unleafed(): Promise<readonly MendedEvent[]> {
    const { head } = this.#kept().rows;
    return this.#damaged().flatMap((sequence) => {
      const row = head[sequence - 1]!;
      const leaf = leafHash(encodeEntry(row));
      return equalBytes(addressOf(row.sealed), row.eid) ? [{ ...row, leaf, sequence }] : [];
    });
  }

  async mend(_origin: string, events: readonly MendedEvent[]): Promise<readonly number[]> {
    const { head, staged } = this.#kept().rows;
    const fits = ({ sequence, leaf }: MendedEvent) =>
      [head, staged].some((rows) => rows[sequence - 1] !== undefined && equalBytes(rows[sequence - 1]!.leaf, leaf));
    const taken = events.filter(fits);
    if (taken.length === 0) return [];
    await this.#put(taken, (row, { leaf }) => equalBytes(row.leaf, leaf));
    return taken.map(({ sequence }) => sequence);
  }

  mendLeaves(_origin: string, events: readonly MendedEvent[]): Promise<void> {
    return this.#put(events, () => true);
  }

  mendStagedLeaves(_origin: string, leaves: ReadonlyMap<number, Uint8Array>): Promise<void> {
    return this.#write(() => {
      const { rows, ...state } = this.#kept();
      const staged = rows.staged.map((row, i) => {
        const leaf = leaves.get(i + 1);
        return leaf === undefined ? row : { ...row, leaf };
      });
      return { ...state, rows: { head: rows.head, staged } };
    });
  }

  giveUpStaged(): Promise<void> {
    return this.#write(() => {
      const { rows, places, ...state } = this.#kept();
      const { head } = places;
      const without = { head, staged: { sequence: 0, peaks: [] }, common: head.sequence };
      return { ...state, staged: null, places: without, rows: { head: rows.head, staged: [] } };
    });
  }

  #put(events: readonly MendedEvent[], fits: (row: DiskRow, event: MendedEvent) => boolean): Promise<void> {
    return this.#write(() =>
      events.reduce((state, { sequence, ...event }) => {
        const put = (row: DiskRow) => (fits(row, { sequence, ...event }) ? { ...event, isDamaged: false } : row);
        return withRows(state, [sequence], put);
      }, this.#kept()),
    );
  }

  #mark(sequences: readonly number[]): Promise<void> {
    return this.#write(() => withRows(this.#kept(), sequences, (row) => ({ ...row, isDamaged: true })));
  }

  #page({ of, after, limit }: Page): readonly DiskRow[] {
    return this.#kept().rows[of].slice(after, after + limit);
  }

  #damaged(): readonly number[] {
    return (this.#disk.state?.rows.head ?? []).flatMap(({ isDamaged }, i) => (isDamaged ? [i + 1] : []));
  }

  #kept(): DiskState {
    const { state } = this.#disk;
    if (state === undefined) throw new RefusalError({ code: 'NOT_FOUND', message: 'There is nothing here.' });
    return state;
  }

  async #write(change: () => DiskState): Promise<void> {
    const { faults } = this.#disk;
    await pause(this.#clock, this.#random.between(0, faults.maxDelayMs), this.#life);
    if (faults.isFull || this.#random.chance(faults.failure))
      throw new RefusalError({ code: 'FULL', message: 'The disk is full.' });
    this.#disk.write(change());
    // A host may die between writing and reporting that it has.
    await pause(this.#clock, this.#random.between(0, 1), this.#life);
  }
}

/** An event as it reaches a disk: of a hole, with a content that is not its own. */
function written({ sealed, ...event }: LeafEvent): DiskRow {
  return { ...event, sealed: sealed ?? new Uint8Array(), isDamaged: sealed === null };
}

/** Whether an event agrees with its leaf. */
export function isWhole(row: DiskRow): boolean {
  return equalBytes(addressOf(row.sealed), row.eid) && hasLeaf(row);
}

/** Whether type, time and address agree with the leaf. */
export function hasLeaf(row: DiskRow): boolean {
  return equalBytes(leafHash(encodeEntry(row)), row.leaf);
}
