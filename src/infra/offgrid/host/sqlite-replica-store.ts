import { equalBytes, toHex } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import type { Row } from '../../sqlite/connection.js';
import { packPeaks, unpackPeaks } from '../peaks.js';
import type { AddressedEvent } from '../wire/batch.js';
import type { SignedGrant } from '../wire/claim.js';
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
  INSERT INTO origins (
    origin, key, granted_epoch, granted_writer, granted_challenge, granted_signature, sequence, epoch, peaks)
  VALUES (?, ?, ?, ?, ?, ?, 0, 0, x'')
  ON CONFLICT (origin) DO UPDATE
  SET granted_epoch = excluded.granted_epoch, granted_writer = excluded.granted_writer,
    granted_challenge = excluded.granted_challenge, granted_signature = excluded.granted_signature`;
const SET_ASIDE = `
  INSERT OR IGNORE INTO evidence (origin, kind, sequence, epoch, etype, ts, eid, bytes, sealed)
  SELECT origin, 'SET_ASIDE', sequence, epoch, etype, ts, eid, bytes, sealed FROM events
  WHERE origin = ? AND sequence >= ?`;
const FORK = `
  INSERT OR IGNORE INTO evidence (origin, kind, sequence, epoch, etype, ts, eid, bytes, sealed)
  VALUES (?, 'FORK', ?, ?, ?, ?, ?, ?, ?)`;
const MEND = `
  INSERT INTO events (origin, sequence, epoch, etype, ts, eid, bytes, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (origin, sequence) DO UPDATE
  SET etype = excluded.etype, ts = excluded.ts, eid = excluded.eid, bytes = excluded.bytes, sealed = excluded.sealed`;
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
  readonly granted_challenge: string;
  readonly granted_signature: string;
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

  async grant(origin: string, key: string, grant: SignedGrant): Promise<void> {
    if (!this.#origins.has(origin) && this.#origins.size >= MAX_ORIGINS)
      throw new HostRefusal('FULL', `This host keeps ${MAX_ORIGINS} origins already; it takes no more.`);
    let row: OriginRow | undefined;
    await this.#file.write(async (connection) => {
      const { epoch, writer, challenge, signature } = grant;
      await connection.run(GRANT, [origin, key, epoch, writer, challenge, signature]);
      [row] = await connection.all<OriginRow & Row>('SELECT * FROM origins WHERE origin = ?', [origin]);
      return 0;
    });
    if (row !== undefined) this.#remember(origin, row);
  }

  async write(origin: string, change: ReplicaChange): Promise<void> {
    const known = this.#knownOrigin(origin);
    const { setAsideFrom, reshipped, added, epoch, head } = change;
    const bytes = added.reduce((sum, { sealed }) => sum + sealed.byteLength, 0);
    this.#file.assertFits(bytes);
    const damaged = await this.#damagedOf(known.id, reshipped);
    await this.#putFiles([...damaged, ...added].filter((event) => this.#isFile(event)));
    await this.#file.write(async (connection) => {
      if (setAsideFrom !== undefined) {
        await connection.run(SET_ASIDE, [known.id, setAsideFrom]);
        await connection.run('DELETE FROM events WHERE origin = ? AND sequence >= ?', [known.id, setAsideFrom]);
      }
      for (const event of damaged) {
        const { sequence, etype, ts, eid, sealed } = event;
        const content = this.#isFile(event) ? null : sealed;
        await connection.run(MEND, [known.id, sequence, epoch, etype, ts, eid, sealed.byteLength, content]);
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

  /** Which of the events that come again are not here as they come: what was damaged is put back. */
  async #damagedOf(origin: number, again: readonly AddressedEvent[]): Promise<readonly AddressedEvent[]> {
    const [first] = again;
    if (first === undefined) return [];
    const params = [origin, first.sequence - 1, again.length, Number.MAX_SAFE_INTEGER];
    const rows = await this.#file.read((reader) => reader.all<EventRow & Row>(EVENTS, params));
    const there = new Map(rows.map((row) => [row.sequence, row]));
    const damaged: AddressedEvent[] = [];
    for (const event of again) {
      const row = there.get(event.sequence);
      if (row === undefined || !(await this.#isWhole(row, event))) damaged.push(event);
    }
    return damaged;
  }

  async #isWhole(row: EventRow, { etype, ts, eid, sealed }: AddressedEvent): Promise<boolean> {
    const isDescribed = row.etype === etype && row.ts === ts && row.bytes === sealed.byteLength;
    if (!isDescribed || !equalBytes(row.eid, eid)) return false;
    const content = await this.#contentOf(row);
    return content !== undefined && equalBytes(content, sealed);
  }

  async #contentOf({ eid, sealed }: Pick<EventRow, 'eid' | 'sealed'>): Promise<Uint8Array | undefined> {
    return sealed ?? (await this.#blobs.get(eid));
  }

  #isFile({ sealed }: AddressedEvent): boolean {
    return sealed.byteLength > this.#chunkThreshold;
  }

  async #whole({ sequence, etype, ts, eid, sealed }: EventRow): Promise<AddressedEvent> {
    const content = await this.#contentOf({ eid, sealed });
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
    const { id, key, sequence, epoch, peaks } = row;
    const grant = {
      epoch: row.granted_epoch,
      writer: row.granted_writer,
      challenge: row.granted_challenge,
      signature: row.granted_signature,
    };
    this.#origins.set(origin, { id, replica: { key, grant, sequence, epoch, peaks: unpackPeaks(peaks) } });
  }
}
