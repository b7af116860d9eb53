import { HASH_BYTES } from '../../../domain/merkle.js';
import type { Clock } from '../../platform/clock.js';
import type { Connection, Row } from '../../sqlite/connection.js';
import type { StoredEvent } from '../protocol/events-answer.js';
import { packPeaks, unpackPeaks } from '../protocol/peaks.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { HistoryName } from '../protocol/queries.js';
import { decodeSigned, encodeSigned, type SignedKind, type SignedThing } from '../protocol/signed.js';
import { DamagedEvents } from './damaged-events.js';
import { UNDESCRIBED, type EventContents, type EventRow } from './event-contents.js';
import { arrange, COLUMNS, EVENT_BYTES, removeStaged, writePlaces } from './history-rows.js';
import type { HostFile } from './host-file.js';
import { RefusalError } from './refusal-error.js';
import type {
  LeafEvent,
  MendedEvent,
  Page,
  Places,
  ReplicaStore,
  StoredOrigin,
  StoredRow,
  HistoryChange,
  WholeEvent,
} from './replica-store.js';

/** The maximum number of origins of a host. */
const MAX_ORIGINS = 1_000;
/** The maximum number of trees of each kind that are kept as evidence for one origin; later ones are not kept. */
const MAX_EVIDENCE_TREES = 1_000;

/** Inserts rows in one statement, from one blob each of addresses, leaves and contents, and JSON with the other columns. */
const INSERT = `
  INSERT INTO events (${COLUMNS})
  SELECT ?1, ?2 + j.key, j.value ->> 0, j.value ->> 1, substr(?3, 1 + ${HASH_BYTES} * j.key, ${HASH_BYTES}),
    substr(?4, 1 + ${HASH_BYTES} * j.key, ${HASH_BYTES}), j.value ->> 2,
    CASE WHEN j.value ->> 3 IS NULL THEN NULL ELSE substr(?5, 1 + (j.value ->> 3), j.value ->> 2) END, j.value ->> 4
  FROM json_each(?6) AS j`;
/** The length of the head (`?2` is 0) or of the staged history (`?2` is 1). */
const LENGTH =
  'SELECT CASE WHEN ?2 = 1 THEN staged_sequence ELSE head_sequence END AS length FROM origins WHERE id = ?1';
/** Events `?3` + 1 to `?4` of that history; the last ones of the head may be in `head_tails`. */
const HISTORY = `
  SELECT e.* FROM events AS e JOIN origins AS o ON o.id = e.origin
  WHERE e.origin = ?1 AND e.sequence > ?3 AND e.sequence <= ?4 AND e.sequence <= CASE
    WHEN ?2 = 1 THEN o.staged_sequence
    WHEN o.staged_sequence > o.common THEN min(o.common, o.head_sequence)
    ELSE o.head_sequence END
  UNION ALL
  SELECT * FROM head_tails WHERE ?2 = 0 AND origin = ?1 AND sequence > ?3 AND sequence <= ?4`;
const ROWS = `SELECT sequence, etype, ts, eid, leaf FROM (${HISTORY}) ORDER BY sequence`;
const SIZES = `SELECT sequence, bytes FROM (${HISTORY}) ORDER BY sequence`;
const LEAVES = `SELECT sequence, leaf FROM (${HISTORY}) ORDER BY sequence`;
const EVENTS = `SELECT * FROM (${HISTORY}) ORDER BY sequence`;
const KEEP_TREE = `
  INSERT OR IGNORE INTO evidence_trees (origin, tree, kind, ts)
  SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM evidence_trees WHERE origin = ?1 AND kind = ?3) < ${MAX_EVIDENCE_TREES}`;

interface OriginRow extends Row {
  readonly key: Uint8Array;
  readonly claim: Uint8Array | null;
  readonly head: Uint8Array | null;
  readonly staged: Uint8Array | null;
  readonly known: Uint8Array | null;
  readonly head_sequence: number;
  readonly head_peaks: Uint8Array;
  readonly staged_sequence: number;
  readonly staged_peaks: Uint8Array;
  readonly common: number;
}

/** Keeps what origins ship in `host.db`. Contents above a threshold are files, written before the rows that name them. */
export class SqliteReplicaStore implements ReplicaStore {
  readonly #file: HostFile;
  readonly #contents: EventContents;
  readonly #damage: DamagedEvents;
  readonly #clock: Clock;
  readonly #ids = new Map<string, number>();

  private constructor(file: HostFile, contents: EventContents, clock: Clock) {
    this.#file = file;
    this.#contents = contents;
    this.#damage = new DamagedEvents(file, contents);
    this.#clock = clock;
  }

  /** Opens the store on a host's file. */
  static async open(file: HostFile, contents: EventContents, clock: Clock): Promise<SqliteReplicaStore> {
    const store = new SqliteReplicaStore(file, contents, clock);
    const rows = await file.read((reader) =>
      reader.all<{ id: number; origin: string }>('SELECT id, origin FROM origins'),
    );
    for (const { id, origin } of rows) store.#ids.set(origin, id);
    return store;
  }

  /** The bytes that count against the budget. */
  get usedBytes(): number {
    return this.#file.usedBytes;
  }

  /** The names of all known origins, including names that were set aside by `resetKey`. */
  get origins(): readonly string[] {
    return [...this.#ids.keys()];
  }

  async load(origin: string): Promise<StoredOrigin | undefined> {
    const id = this.#ids.get(origin);
    if (id === undefined) return undefined;
    const [row] = await this.#file.read((reader) => reader.all<OriginRow>('SELECT * FROM origins WHERE id = ?', [id]));
    if (row === undefined) return undefined;
    return {
      key: row.key,
      claim: signedOf('claim', row.claim),
      head: signedOf('tree', row.head),
      staged: signedOf('tree', row.staged),
      known: signedOf('tree', row.known),
      places: {
        head: { sequence: row.head_sequence, peaks: unpackPeaks(row.head_peaks) },
        staged: { sequence: row.staged_sequence, peaks: unpackPeaks(row.staged_peaks) },
        common: row.common,
      },
    };
  }

  async grant(origin: string, key: Uint8Array, claim: SignedThing<'claim'>): Promise<void> {
    if (!this.#ids.has(origin) && this.#ids.size >= MAX_ORIGINS) {
      const message = `This host already keeps ${MAX_ORIGINS} origins, the maximum.`;
      throw new RefusalError({ code: 'FULL', message });
    }
    let id: number | undefined;
    await this.#file.write(async (connection) => {
      await connection.run(
        `INSERT INTO origins (origin, key, claim) VALUES (?, ?, ?)
         ON CONFLICT (origin) DO UPDATE SET claim = excluded.claim WHERE key = excluded.key`,
        [origin, key, encodeSigned(claim)],
      );
      [{ id }] = (await connection.all<{ id: number }>('SELECT id FROM origins WHERE origin = ?', [origin])) as [
        { id: number },
      ];
      return 0;
    });
    if (id !== undefined) this.#ids.set(origin, id);
  }

  async change(origin: string, change: HistoryChange): Promise<void> {
    const id = this.#idOf(origin);
    const { added } = change;
    const bytes = bytesOf(added);
    this.#file.assertFits(bytes);
    await this.#contents.put(added.filter(isWhole));
    await this.#file.write(async (connection) => {
      const freed = await arrange(connection, id, change);
      for (const tree of change.setAside) await this.#keepTree(connection, id, tree, 'SET_ASIDE');
      if (added.length > 0) await connection.run(INSERT, this.#insertion(id, change.keep + 1, added));
      await writePlaces(connection, id, change);
      return bytes - freed;
    });
  }

  async renew(origin: string, trees: Partial<Pick<StoredOrigin, 'head' | 'known'>>): Promise<void> {
    const id = this.#idOf(origin);
    await this.#file.write(async (connection) => {
      for (const name of ['head', 'known'] as const) {
        const tree = trees[name];
        if (tree) await connection.run(`UPDATE origins SET ${name} = ? WHERE id = ?`, [encodeSigned(tree), id]);
      }
      return 0;
    });
  }

  async place(origin: string, { head, staged, common }: Places): Promise<void> {
    const id = this.#idOf(origin);
    await this.#file.write(async (connection) => {
      await connection.run(
        `UPDATE origins SET head_sequence = ?, head_peaks = ?, staged_sequence = ?, staged_peaks = ?, common = ?
         WHERE id = ?`,
        [head.sequence, packPeaks(head.peaks), staged.sequence, packPeaks(staged.peaks), common, id],
      );
      return 0;
    });
  }

  async keepFork(origin: string, tree: SignedThing<'tree'>): Promise<void> {
    const id = this.#idOf(origin);
    await this.#file.write(async (connection) => {
      await this.#keepTree(connection, id, tree, 'FORK');
      return 0;
    });
  }

  async leaves(origin: string, of: HistoryName, from: number, to: number): Promise<Uint8Array> {
    if (to < from) return new Uint8Array();
    const params = [this.#idOf(origin), historyParam(of), from - 1, to];
    const rows = await this.#file.read((reader) => reader.all<{ sequence: number; leaf: Uint8Array }>(LEAVES, params));
    const leaves = new Uint8Array((to - from + 1) * HASH_BYTES);
    // A leaf that is missing, or does not have 32 bytes, is returned as zeros, which no event has as its leaf.
    for (const { sequence, leaf } of rows)
      if (leaf.byteLength === HASH_BYTES) leaves.set(leaf, (sequence - from) * HASH_BYTES);
    return leaves;
  }

  async rows(origin: string, page: Page): Promise<readonly StoredRow[]> {
    const id = this.#idOf(origin);
    return this.#file.read((reader) =>
      reader.transaction('BEGIN', async () => {
        const to = await lastOf(reader, id, page);
        const rows = await reader.all<StoredRow & Row>(ROWS, [id, historyParam(page.of), page.after, to]);
        return withGaps(rows, page.after, to, missingRow);
      }),
    );
  }

  async events(origin: string, page: Page, maxBytes: number): Promise<readonly StoredEvent[]> {
    const id = this.#idOf(origin);
    const { of, after } = page;
    const { rows, to } = await this.#file.read((reader) =>
      reader.transaction('BEGIN', async () => {
        const last = await lastOf(reader, id, page);
        const sizes = await reader.all<Size & Row>(SIZES, [id, historyParam(of), after, last]);
        const within = lastWithin(sizes, after, last, maxBytes);
        return { rows: await reader.all<EventRow>(EVENTS, [id, historyParam(of), after, within]), to: within };
      }),
    );
    const read = await Promise.all(rows.map((row) => this.#contents.read(row)));
    const events = withGaps(read, after, to, missingEvent);
    await this.#markFound(id, of, rows, events);
    return events;
  }

  /** Marks the events that a read has found to be damaged, unless the disk is too full for that. */
  async #markFound(id: number, of: HistoryName, rows: readonly EventRow[], events: readonly StoredEvent[]) {
    const stored = new Map(rows.map((row) => [row.sequence, row]));
    const damaged = events.filter(({ sealed }) => sealed === null);
    const found = damaged.flatMap(({ sequence }) => stored.get(sequence) ?? []).filter((row) => row.damaged === 0);
    const missing = damaged.map(({ sequence }) => sequence).filter((sequence) => !stored.has(sequence));
    try {
      await this.#damage.mark(id, found);
      if (of === 'head') await this.#damage.markHead(id, missing);
    } catch (error) {
      if (!(error instanceof RefusalError) || error.code !== 'FULL') throw error;
    }
  }

  damaged(origin: string, after: number, limit: number): Promise<readonly number[]> {
    return this.#damage.list(this.#idOf(origin), after, limit);
  }

  countDamaged(origin: string): Promise<number> {
    return this.#damage.count(this.#idOf(origin));
  }

  mend(origin: string, events: readonly MendedEvent[]): Promise<readonly number[]> {
    return this.#damage.mend(this.#idOf(origin), events);
  }

  mendLeaves(origin: string, events: readonly MendedEvent[]): Promise<void> {
    return this.#damage.mendLeaves(this.#idOf(origin), events);
  }

  async mendStagedLeaves(origin: string, leaves: ReadonlyMap<number, Uint8Array>): Promise<void> {
    const id = this.#idOf(origin);
    await this.#file.write(async (connection) => {
      // All staged events are in `events`.
      for (const [sequence, leaf] of leaves)
        await connection.run('UPDATE events SET leaf = ? WHERE origin = ? AND sequence = ?', [leaf, id, sequence]);
      return 0;
    });
  }

  async giveUpStaged(origin: string): Promise<void> {
    const id = this.#idOf(origin);
    const staged = (await this.load(origin))?.staged;
    await this.#file.write(async (connection) => {
      if (staged) await this.#keepTree(connection, id, staged, 'SET_ASIDE');
      return -(await removeStaged(connection, id));
    });
  }

  mark(origin: string, sequences: readonly number[]): Promise<void> {
    return this.#damage.markHead(this.#idOf(origin), sequences);
  }

  unleafed(origin: string): Promise<readonly MendedEvent[]> {
    return this.#damage.unleafed(this.#idOf(origin));
  }

  async #keepTree(connection: Connection, id: number, tree: SignedThing<'tree'>, kind: 'FORK' | 'SET_ASIDE') {
    await connection.run(KEEP_TREE, [id, encodeSigned(tree), kind, this.#clock.now().getTime()]);
  }

  #insertion(id: number, from: number, added: readonly LeafEvent[]) {
    const inline: Uint8Array[] = [];
    let offset = 0;
    const places = added.map((event) => {
      const { etype, ts } = event;
      if (!isWhole(event)) return [etype, ts, 0, offset, 1];
      const bytes = event.sealed.byteLength;
      if (this.#contents.isFile(event)) return [etype, ts, bytes, null, 0];
      inline.push(event.sealed);
      offset += bytes;
      return [etype, ts, bytes, offset - bytes, 0];
    });
    const eids = Buffer.concat(added.map(({ eid }) => eid));
    const leaves = Buffer.concat(added.map(({ leaf }) => leaf));
    return [id, from, eids, leaves, Buffer.concat(inline), JSON.stringify(places)];
  }

  #idOf(origin: string): number {
    const id = this.#ids.get(origin);
    if (id !== undefined) return id;
    throw new RefusalError({ code: 'NOT_FOUND', message: `This host keeps nothing of '${origin}'.` });
  }
}

function bytesOf(events: readonly LeafEvent[]): number {
  return events.reduce((sum, { sealed }) => sum + (sealed?.byteLength ?? 0) + EVENT_BYTES, 0);
}

function isWhole(event: LeafEvent): event is WholeEvent {
  return event.sealed !== null;
}

function signedOf<Kind extends SignedKind>(kind: Kind, bytes: Uint8Array | null): SignedThing<Kind> | null {
  if (bytes === null) return null;
  try {
    return decodeSigned(kind, bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const message = `A stored ${kind} on this host is damaged.`;
    throw new RefusalError({ code: 'DAMAGED', message }, { cause: error });
  }
}

interface Size {
  readonly sequence: number;
  readonly bytes: number;
}

function historyParam(of: HistoryName): number {
  return of === 'staged' ? 1 : 0;
}

/** The last sequence of a page. */
async function lastOf(reader: Connection, id: number, { of, after, limit }: Page): Promise<number> {
  const [row] = await reader.all<{ length: number }>(LENGTH, [id, historyParam(of)]);
  return Math.min(row?.length ?? 0, after + limit);
}

/** The last sequence up to which contents have at most `maxBytes` in total; the first is included regardless of its size. */
function lastWithin(sizes: readonly Size[], after: number, last: number, maxBytes: number): number {
  let sum = 0;
  for (const { sequence, bytes } of sizes) {
    sum += bytes;
    if (sum > maxBytes) return Math.max(sequence - 1, after + 1);
  }
  return last;
}

/** The list from after + 1 to `to`, with its gaps filled. */
function withGaps<T extends { readonly sequence: number }>(
  some: readonly T[],
  after: number,
  to: number,
  missing: (sequence: number) => T,
): readonly T[] {
  if (some.length === Math.max(0, to - after)) return some;
  const known = new Map(some.map((one) => [one.sequence, one]));
  return Array.from({ length: Math.max(0, to - after) }, (_, i) => known.get(after + 1 + i) ?? missing(after + 1 + i));
}

function missingRow(sequence: number): StoredRow {
  return { sequence, etype: 0, ts: 0, eid: new Uint8Array(), leaf: new Uint8Array() };
}

function missingEvent(sequence: number): StoredEvent {
  return { sequence, ...UNDESCRIBED, sealed: null };
}
