import { HASH_BYTES } from '../../../domain/merkle.js';
import type { Clock } from '../../clock.js';
import type { Connection, Row } from '../../sqlite/connection.js';
import { unpackPeaks } from '../peaks.js';
import type { StoredEvent } from '../protocol/events-answer.js';
import { ProtocolError } from '../protocol/protocol-error.js';
import type { StoryName } from '../protocol/queries.js';
import { decodeSigned, encodeSigned, type SignedKind, type SignedThing } from '../protocol/signed.js';
import { DamagedEvents, type Scrubbed } from './damaged-events.js';
import type { EventContents, EventRow } from './event-contents.js';
import type { HostFile } from './host-file.js';
import { RefusalError } from './refusal-error.js';
import { arrange, COLUMNS, EVENT_BYTES, writePlaces } from './story-rows.js';
import type {
  LeafEvent,
  MendedEvent,
  Page,
  ReplicaStore,
  StoredOrigin,
  StoredRow,
  StoryChange,
} from './replica-store.js';

/** The most origins of a host. */
const MAX_ORIGINS = 1_000;
/** The most trees of one origin that are kept as evidence. */
const MAX_EVIDENCE_TREES = 1_000;

/** Rows from one blob of addresses, of leaves and of contents each, and JSON that says where each begins: one statement. */
const INSERT = `
  INSERT INTO events (${COLUMNS})
  SELECT ?1, ?2 + j.key, j.value ->> 0, j.value ->> 1, substr(?3, 1 + ${HASH_BYTES} * j.key, ${HASH_BYTES}),
    substr(?4, 1 + ${HASH_BYTES} * j.key, ${HASH_BYTES}), j.value ->> 2,
    CASE WHEN j.value ->> 3 IS NULL THEN NULL ELSE substr(?5, 1 + (j.value ->> 3), j.value ->> 2) END, 0
  FROM json_each(?6) AS j`;
/** The events of the head (`?2` is 0) or of what is staged, after the first `?3`: those of the head may have a tail apart. */
const STORY = `
  SELECT e.* FROM events AS e JOIN origins AS o ON o.id = e.origin
  WHERE e.origin = ?1 AND e.sequence > ?3 AND e.sequence <= CASE
    WHEN ?2 = 1 THEN o.staged_sequence
    WHEN o.staged_sequence > o.common THEN min(o.common, o.head_sequence)
    ELSE o.head_sequence END
  UNION ALL
  SELECT * FROM head_tails WHERE ?2 = 0 AND origin = ?1 AND sequence > ?3`;
const PAGE = `SELECT sequence, etype, ts, eid, leaf FROM (${STORY}) ORDER BY sequence LIMIT ?4`;
const LEAVES = `SELECT sequence, leaf FROM (${STORY}) WHERE sequence <= ?4 ORDER BY sequence`;
const EVENTS = `
  SELECT sequence, etype, ts, eid, leaf, bytes, sealed, damaged FROM (
    SELECT *, sum(bytes) OVER (ORDER BY sequence) - bytes AS before FROM (${STORY} ORDER BY sequence LIMIT ?4))
  WHERE before = 0 OR before + bytes <= ?5`;
const KEEP_TREE = `
  INSERT OR IGNORE INTO evidence_trees (origin, tree, kind, ts)
  SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM evidence_trees WHERE origin = ?1) < ${MAX_EVIDENCE_TREES}`;

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

/** What origins ship, in `host.db`; contents over a threshold are files, written before the rows that name them. */
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

  static async open(file: HostFile, contents: EventContents, clock: Clock): Promise<SqliteReplicaStore> {
    const store = new SqliteReplicaStore(file, contents, clock);
    const rows = await file.read((reader) =>
      reader.all<{ id: number; origin: string }>('SELECT id, origin FROM origins'),
    );
    for (const { id, origin } of rows) store.#ids.set(origin, id);
    return store;
  }

  get usedBytes(): number {
    return this.#file.usedBytes;
  }

  /** The name of every origin there is. */
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
      const message = `This host keeps ${MAX_ORIGINS} origins already; it takes no more.`;
      throw new RefusalError({ code: 'FULL', message });
    }
    let id: number | undefined;
    await this.#file.write(async (connection) => {
      await connection.run(
        `INSERT INTO origins (origin, key, claim) VALUES (?, ?, ?)
         ON CONFLICT (origin) DO UPDATE SET claim = excluded.claim`,
        [origin, key, encodeSigned(claim)],
      );
      [{ id }] = (await connection.all<{ id: number }>('SELECT id FROM origins WHERE origin = ?', [origin])) as [
        { id: number },
      ];
      return 0;
    });
    if (id !== undefined) this.#ids.set(origin, id);
  }

  async change(origin: string, change: StoryChange): Promise<void> {
    const id = this.#idOf(origin);
    const { added } = change;
    const bytes = bytesOf(added);
    this.#file.assertFits(bytes);
    await this.#contents.put(added);
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

  async keepFork(origin: string, tree: SignedThing<'tree'>): Promise<void> {
    const id = this.#idOf(origin);
    await this.#file.write(async (connection) => {
      await this.#keepTree(connection, id, tree, 'FORK');
      return 0;
    });
  }

  async leaves(origin: string, of: StoryName, from: number, to: number): Promise<Uint8Array> {
    if (to < from) return new Uint8Array();
    const params = [this.#idOf(origin), of === 'staged' ? 1 : 0, from - 1, to];
    const rows = await this.#file.read((reader) => reader.all<{ sequence: number; leaf: Uint8Array }>(LEAVES, params));
    const leaves = new Uint8Array((to - from + 1) * HASH_BYTES);
    // One that is missing, or not a hash any more, stays zero: no event has that leaf.
    for (const { sequence, leaf } of rows)
      if (leaf.byteLength === HASH_BYTES) leaves.set(leaf, (sequence - from) * HASH_BYTES);
    return leaves;
  }

  async rows(origin: string, { of, after, limit }: Page): Promise<readonly StoredRow[]> {
    const params = [this.#idOf(origin), of === 'staged' ? 1 : 0, after, limit];
    return this.#file.read((reader) => reader.all<StoredRow & Row>(PAGE, params));
  }

  async events(origin: string, { of, after, limit }: Page, maxBytes: number): Promise<readonly StoredEvent[]> {
    const id = this.#idOf(origin);
    const params = [id, of === 'staged' ? 1 : 0, after, limit, maxBytes];
    const rows = await this.#file.read((reader) => reader.all<EventRow>(EVENTS, params));
    const events = await Promise.all(rows.map((row) => this.#contents.read(row)));
    const found = rows.filter(({ damaged }, i) => damaged === 0 && events[i]?.sealed === null);
    await this.#damage.mark(id, found);
    return events;
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

  mendLeaves(origin: string, events: readonly MendedEvent[]): Promise<readonly number[]> {
    return this.#damage.mendLeaves(this.#idOf(origin), events);
  }

  /** Looks at stored events after a sequence, and marks those that are damaged. */
  scrub(origin: string, after: number, limit: number): Promise<Scrubbed> {
    return this.#damage.scrub(this.#idOf(origin), after, limit);
  }

  async #keepTree(connection: Connection, id: number, tree: SignedThing<'tree'>, kind: 'FORK' | 'SET_ASIDE') {
    await connection.run(KEEP_TREE, [id, encodeSigned(tree), kind, this.#clock.now().getTime()]);
  }

  #insertion(id: number, from: number, added: readonly LeafEvent[]) {
    const inline: Uint8Array[] = [];
    let offset = 0;
    const places = added.map((event) => {
      const { etype, ts, sealed } = event;
      const bytes = sealed.byteLength;
      if (this.#contents.isFile(event)) return [etype, ts, bytes, null];
      inline.push(sealed);
      offset += bytes;
      return [etype, ts, bytes, offset - bytes];
    });
    const eids = Buffer.concat(added.map(({ eid }) => eid));
    const leaves = Buffer.concat(added.map(({ leaf }) => leaf));
    return [id, from, eids, leaves, Buffer.concat(inline), JSON.stringify(places)];
  }

  #idOf(origin: string): number {
    const id = this.#ids.get(origin);
    if (id !== undefined) return id;
    throw new RefusalError({ code: 'NOT_FOUND', message: `There is nothing of '${origin}' here.` });
  }
}

function bytesOf(events: readonly LeafEvent[]): number {
  return events.reduce((sum, { sealed }) => sum + sealed.byteLength + EVENT_BYTES, 0);
}

function signedOf<Kind extends SignedKind>(kind: Kind, bytes: Uint8Array | null): SignedThing<Kind> | null {
  if (bytes === null) return null;
  try {
    return decodeSigned(kind, bytes);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const message = `A ${kind} that this host keeps is damaged.`;
    throw new RefusalError({ code: 'DAMAGED', message }, { cause: error });
  }
}
