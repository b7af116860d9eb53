import { toHex } from '../../crypto/bytes.js';
import { addressOf } from '../../crypto/envelope.js';
import type { Row } from '../../sqlite/connection.js';
import type { HostFile } from './host-file.js';

/** The maximum number of events in the answer to a query. */
export const MAX_QUERY = 1_000;

/** An event as the prototype's clients see it. A replicated event shows only what its host may know. */
export interface MemoryEvent {
  /** SHA-256 of the content, hexadecimal. */
  readonly eid: string;
  /** Milliseconds since 1970. */
  readonly ts: number;
  readonly etype: number;
  readonly meta: unknown;
  /** The place of the content: `blob:<eid>` for a file, null for a row. */
  readonly pref: string | null;
  readonly score: number;
}

interface MemoryRow {
  readonly eid: Uint8Array;
  readonly ts: number;
  readonly etype: number;
  readonly meta: string;
  readonly score: number;
  readonly is_file: number;
}

const INGEST = `
  INSERT OR IGNORE INTO memory (eid, ts, etype, meta, score, bytes, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)`;
const ALL = `
  SELECT e.eid, e.ts, e.etype, json_object('origin', o.origin, 'sequence', e.sequence) AS meta, 0.0 AS score,
    e.sealed IS NULL AS is_file, e.sequence AS rank
  FROM events e JOIN origins o ON o.id = e.origin WHERE %1
  UNION ALL
  SELECT eid, ts, etype, meta, score, sealed IS NULL AS is_file, 0 AS rank FROM memory AS e WHERE %1`;

/** The operations behind the prototype's paths: query and single-event ingest. */
export class Memory {
  readonly #file: Pick<HostFile, 'read' | 'write'>;

  constructor(file: Pick<HostFile, 'read' | 'write'>) {
    this.#file = file;
  }

  /** Events since a time, in milliseconds since 1970, the newest first. */
  async query(sinceTs: number, limit: number): Promise<MemoryEvent[]> {
    const sql = `${ALL.replaceAll('%1', 'e.ts >= ?')} ORDER BY ts DESC, rank DESC LIMIT ?`;
    const rows = await this.#file.read((reader) => reader.all<MemoryRow & Row>(sql, [sinceTs, sinceTs, limit]));
    return rows.map(shown);
  }

  /** The event of an address. */
  async find(eid: Uint8Array): Promise<MemoryEvent | undefined> {
    const sql = `${ALL.replaceAll('%1', 'e.eid = ?')} LIMIT 1`;
    const [row] = await this.#file.read((reader) => reader.all<MemoryRow & Row>(sql, [eid, eid]));
    return row && shown(row);
  }

  /**
   * Keeps a content under its address; keeping the same content again changes nothing.
   * @returns the address, hexadecimal
   * @throws RefusalError FULL
   */
  async ingest(
    payload: Uint8Array,
    { etype, meta, score, ts }: { etype: number; meta: unknown; score: number; ts: number },
  ): Promise<string> {
    const eid = addressOf(payload);
    const bytes = payload.byteLength;
    await this.#file.write(async (connection) => {
      const { changes } = await connection.run(INGEST, [eid, ts, etype, JSON.stringify(meta), score, bytes, payload]);
      return changes * bytes;
    });
    return toHex(eid);
  }
}

function shown({ eid, ts, etype, meta, score, is_file: isFile }: MemoryRow): MemoryEvent {
  const address = toHex(eid);
  return { eid: address, ts, etype, meta: JSON.parse(meta), pref: isFile === 1 ? `blob:${address}` : null, score };
}
