import { equalBytes, toHex } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import type { Row } from '../../sqlite/connection.js';
import { packPeaks, unpackPeaks } from '../peaks.js';
import type { AddressedEvent } from '../wire/batch.js';
import type { Grant } from '../wire/claim.js';
import type { Blobs } from './blobs.js';
import { diskFull, type HostFile } from './host-file.js';
import { HostRefusal } from './problems.js';
import type { ReplicaChange, ReplicaStore, StoredAddress, StoredReplica } from './replica-store.js';

/** The most origins of a host. */
const MAX_ORIGINS = 1_000;
const ADDRESS_BYTES = 32;

/** Rows from one blob of addresses, one of contents, and JSON that says where each begins: one statement for a batch. */
const INSERT = `
  INSERT INTO events (origin, sequence, epoch, etype, ts, eid, bytes, sealed)
  SELECT ?1, ?2 + j.key, ?3, j.value ->> 0, j.value ->> 1, substr(?4, 1 + ${ADDRESS_BYTES} * j.key, ${ADDRESS_BYTES}),
    j.value ->> 2, CASE WHEN j.value ->> 3 IS NULL THEN NULL ELSE substr(?5, 1 + (j.value ->> 3), j.value ->> 2) END
  FROM json_each(?6) AS j`;
const GRANT = `
  INSERT INTO origins (origin, key, granted_epoch, granted_writer, sequence, epoch, peaks)
  VALUES (?, ?, ?, ?, 0, 0, x'')
  ON CONFLICT (origin) DO UPDATE
  SET granted_epoch = excluded.granted_epoch, granted_writer = excluded.granted_writer`;
const SET_ASIDE = `
  INSERT OR IGNORE INTO evidence (origin, kind, sequence, epoch, etype, ts, eid, bytes, sealed)
  SELECT origin, 'SET_ASIDE', sequence, epoch, etype, ts, eid, bytes, sealed FROM events
  WHERE origin = ? AND sequence >= ?`;
const FORK = `
  INSERT OR IGNORE INTO evidence (origin, kind, sequence, epoch, etype, ts, eid, bytes, sealed)
  VALUES (?, 'FORK', ?, ?, ?, ?, ?, ?, ?)`;
const MEND = 'UPDATE events SET sealed = ? WHERE origin = ? AND sequence = ?';
const ADDRESSES = `
  SELECT sequence, epoch, etype, ts, eid FROM events WHERE origin = ? AND sequence BETWEEN ? AND ? ORDER BY sequence`;
const EVENTS = `
  SELECT sequence, etype, ts, eid, bytes, sealed FROM (
    SELECT *, sum(bytes) OVER (ORDER BY sequence) - bytes AS before FROM (
      SELECT * FROM events WHERE origin = ? AND sequence > ? ORDER BY sequence LIMIT ?))
  WHERE before = 0 OR before + bytes <= ?`;

interface OriginRow {
  readonly id: number;
  readonly key: string;
  readonly granted_epoch: number;
  readonly granted_writer: string;
  readonly sequence: number;
  readonly epoch: number;
  readonly peaks: Uint8Array;
}

interface EventRow {
  readonly sequence: number;
  readonly etype: number;
  readonly ts: number;
  readonly eid: Uint8Array;
  readonly bytes: number;
  readonly sealed: Uint8Array | null;
}

/** What origins ship, in `host.db`; contents over a threshold are files, written before the rows that name them. */
export class SqliteReplicaStore implements ReplicaStore {
  readonly #file: HostFile;
  readonly #blobs: Blobs;
  readonly #chunkThreshold: number;
  readonly #origins = new Map<string, { readonly id: number; replica: StoredReplica }>();

  private constructor(file: HostFile, blobs: Blobs, chunkThreshold: number) {
    this.#file = file;
    this.#blobs = blobs;
    this.#chunkThreshold = chunkThreshold;
  }

  /** @param chunkThreshold contents of more bytes are files */
  static async open(file: HostFile, blobs: Blobs, chunkThreshold: number): Promise<SqliteReplicaStore> {
    const store = new SqliteReplicaStore(file, blobs, chunkThreshold);
    const rows = await file.read((reader) => reader.all<OriginRow & { origin: string }>('SELECT * FROM origins'));
    for (const row of rows) store.#remember(row.origin, row);
    return store;
  }

  get usedBytes(): number {
    return this.#file.usedBytes;
  }

  /** Every origin there is. */
  get origins(): ReadonlyMap<string, { readonly replica: StoredReplica }> {
    return this.#origins;
  }

  load(origin: string): Promise<StoredReplica | undefined> {
    return Promise.resolve(this.#origins.get(origin)?.replica);
  }

  async grant(origin: string, key: string, { epoch, writer }: Grant): Promise<void> {
    if (!this.#origins.has(origin) && this.#origins.size >= MAX_ORIGINS)
      throw new HostRefusal('FULL', `This host keeps ${MAX_ORIGINS} origins already; it takes no more.`);
    let row: OriginRow | undefined;
    await this.#file.write(async (connection) => {
      await connection.run(GRANT, [origin, key, epoch, writer]);
      [row] = await connection.all<OriginRow & Row>('SELECT * FROM origins WHERE origin = ?', [origin]);
      return 0;
    });
    if (row !== undefined) this.#remember(origin, row);
  }

  async write(origin: string, change: ReplicaChange): Promise<void> {
    const known = this.#knownOrigin(origin);
    const { setAsideFrom, reshipped, added, epoch, head } = change;
    await this.#mend(known.id, reshipped);
    await this.#putFiles(added.filter(({ sealed }) => sealed.byteLength > this.#chunkThreshold));
    const bytes = added.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);
    await this.#file.write(async (connection) => {
      if (setAsideFrom !== undefined) {
        await connection.run(SET_ASIDE, [known.id, setAsideFrom]);
        await connection.run('DELETE FROM events WHERE origin = ? AND sequence >= ?', [known.id, setAsideFrom]);
      }
      const [first, last] = [reshipped[0]?.sequence, reshipped.at(-1)?.sequence];
      if (first !== undefined && last !== undefined)
        await connection.run('UPDATE events SET epoch = ? WHERE origin = ? AND sequence BETWEEN ? AND ?', [
          epoch,
          known.id,
          first,
          last,
        ]);
      if (added.length > 0) await connection.run(INSERT, this.#insertion(known.id, epoch, added));
      await connection.run('UPDATE origins SET sequence = ?, epoch = ?, peaks = ? WHERE id = ?', [
        head.sequence,
        head.epoch,
        packPeaks(head.peaks),
        known.id,
      ]);
      return bytes;
    });
    known.replica = { ...known.replica, ...head };
  }

  async keepFork(origin: string, epoch: number, events: readonly AddressedEvent[]): Promise<void> {
    const { id } = this.#knownOrigin(origin);
    await this.#file.write(async (connection) => {
      let kept = 0;
      for (const { sequence, etype, ts, eid, sealed } of events) {
        const bytes = sealed.byteLength;
        const { changes } = await connection.run(FORK, [id, sequence, epoch, etype, ts, eid, bytes, sealed]);
        kept += changes * bytes;
      }
      return kept;
    });
  }

  async addresses(origin: string, from: number, to: number): Promise<readonly StoredAddress[]> {
    if (to < from) return [];
    const { id } = this.#knownOrigin(origin);
    return this.#file.read((reader) => reader.all<StoredAddress & Row>(ADDRESSES, [id, from, to]));
  }

  async events(origin: string, after: number, limit: number, maxBytes: number): Promise<readonly AddressedEvent[]> {
    const { id } = this.#knownOrigin(origin);
    const rows = await this.#file.read((reader) => reader.all<EventRow & Row>(EVENTS, [id, after, limit, maxBytes]));
    return Promise.all(rows.map((row) => this.#whole(row)));
  }

  /** What was damaged, and comes again, is put back. */
  async #mend(origin: number, again: readonly AddressedEvent[]): Promise<void> {
    for (const { sequence, eid, sealed } of again) {
      const [row] = await this.#file.read((reader) => reader.all<EventRow & Row>(EVENTS, [origin, sequence - 1, 1, 0]));
      if (row === undefined) continue;
      const content = row.sealed ?? (await this.#blobs.get(eid));
      if (content !== undefined && equalBytes(addressOf(content), eid)) continue;
      if (row.sealed === null) await this.#blobs.replace(eid, sealed);
      else
        await this.#file.write(async (connection) => {
          await connection.run(MEND, [sealed, origin, sequence]);
          return 0;
        });
    }
  }

  async #whole({ sequence, etype, ts, eid, sealed }: EventRow): Promise<AddressedEvent> {
    const content = sealed ?? (await this.#blobs.get(eid));
    if (content === undefined || !equalBytes(addressOf(content), eid))
      throw new HostRefusal(
        'DAMAGED',
        `Event ${sequence} (${toHex(eid)}) is ${content === undefined ? 'gone' : 'damaged'} on this host.`,
        { sequence },
      );
    return { sequence, etype, ts, eid, sealed: content };
  }

  async #putFiles(large: readonly AddressedEvent[]): Promise<void> {
    try {
      await this.#blobs.put(large);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') throw diskFull();
      throw error;
    }
  }

  #insertion(id: number, epoch: number, added: readonly AddressedEvent[]) {
    const inline: Uint8Array[] = [];
    let offset = 0;
    const places = added.map(({ etype, ts, sealed }) => {
      const bytes = sealed.byteLength;
      if (bytes > this.#chunkThreshold) return [etype, ts, bytes, null];
      inline.push(sealed);
      offset += bytes;
      return [etype, ts, bytes, offset - bytes];
    });
    const eids = Buffer.concat(added.map(({ eid }) => eid));
    return [id, added[0]?.sequence ?? 0, epoch, eids, Buffer.concat(inline), JSON.stringify(places)];
  }

  #knownOrigin(origin: string) {
    const known = this.#origins.get(origin);
    if (known === undefined) throw new HostRefusal('NOT_FOUND', `There is nothing of '${origin}' here.`);
    return known;
  }

  #remember(origin: string, row: OriginRow): void {
    const { id, key, granted_epoch, granted_writer, sequence, epoch, peaks } = row;
    const grant = { epoch: granted_epoch, writer: granted_writer };
    this.#origins.set(origin, { id, replica: { key, grant, sequence, epoch, peaks: unpackPeaks(peaks) } });
  }
}
