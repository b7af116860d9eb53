import { KeyedQueue } from '../../platform/keyed-queue.js';
import { busy } from './errors.js';
import { isFinalized, policyFor, sumOfWeights, weightOf, withAck, type Ack, type QuorumPolicies } from './quorum.js';
import { afterHeartbeat, afterRestart, HEARTBEAT_S, LOST_AFTER_HEARTBEATS, type Heartbeats } from './score.js';
import { openStoreFile, type StoreFile } from './store-file.js';

/** The limits of a broker's file. */
export interface StoreLimits {
  /** The maximum number of quorum records. Beyond it the oldest final one is dropped, or the oldest if none is final. */
  readonly records: number;
  /** The maximum number of acks of one record. */
  readonly acks: number;
  /** The maximum number of hosts. Beyond it the host lost for longest is dropped; if none is lost, a new one is refused. */
  readonly hosts: number;
}

/** The default limits. */
export const STORE_LIMITS: StoreLimits = { records: 100_000, acks: 256, hosts: 1_000 };
/** The maximum number of records in a list. */
export const MAX_LISTED = 500;

/** A record to be created. */
export interface NewQuorum {
  readonly id: string;
  readonly kind: string;
  /** The sum of weights that makes it final. */
  readonly required: number;
  /** JSON in Python's text. */
  readonly meta: string;
}

/** A stored record. */
export interface QuorumRecord extends NewQuorum {
  readonly acks: readonly Ack[];
  readonly finalized: boolean;
  /** The time of its creation, in Unix seconds. */
  readonly ts: number;
}

/** The outcome of an ack: it is counted, or the reason why not. */
export type AckOutcome =
  | { readonly counted: true; readonly finalized: boolean; readonly sum: number; readonly required: number }
  | { readonly counted: false; readonly why: 'UNKNOWN' | 'TOO_MANY_ACKS' };

/** The content of a host's heartbeat. */
export interface Announcement {
  readonly nodeId: string;
  readonly url: string;
  /** JSON in Python's text. */
  readonly prices: string;
  readonly freeBytes: number;
}

/** A stored host. */
export type HostEntry = Announcement & Heartbeats;

interface QuorumRow {
  readonly position: number;
  readonly kind: string;
  readonly id: string;
  readonly required: number;
  readonly meta: string;
  readonly ts: number;
  readonly finalized: number;
  readonly acks: string;
}

interface HostRow {
  readonly node: string;
  readonly url: string;
  readonly prices: string;
  readonly free_bytes: number;
  readonly last_seen: number;
  readonly score: number;
  readonly score_at: number;
}

const SELECT_QUORUMS = `
  SELECT position, kind, id, required, meta, ts, finalized,
    (SELECT json_group_array(json_object('id', node, 'ts', ts, 'w', w)) FROM acks WHERE quorum = position) AS acks
  FROM quorums`;

/** The queue for changes: there is one connection that writes, so each change waits to have its own transaction. */
const WRITER = 'writer';

/**
 * The store of a broker. Every change is its own transaction with an fsync, so it is on the disk when its promise resolves.
 * Every change may throw HttpError BUSY or SqliteError.
 */
export class BrokerStore {
  readonly #file: StoreFile;
  readonly #limits: StoreLimits;
  readonly #queue = new KeyedQueue();

  private constructor(file: StoreFile, limits: StoreLimits) {
    this.#file = file;
    this.#limits = limits;
  }

  /** Opens the store in a broker's folder. @param nowS in Unix seconds @throws StoreError, SqliteError */
  static async open(folder: string, nowS: number, limits = STORE_LIMITS): Promise<BrokerStore> {
    const file = await openStoreFile(folder);
    const store = new BrokerStore(file, limits);
    try {
      await store.#resume(nowS);
      return store;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Creates a record, or returns the existing one unchanged. */
  create({ kind, id, required, meta }: NewQuorum, nowS: number): Promise<QuorumRecord> {
    return this.#change(async () => {
      const existing = await this.#find(kind, id, 'writer');
      if (existing !== undefined) return toRecord(existing);
      await this.#file.writer.run('INSERT INTO quorums (kind, id, required, meta, ts) VALUES (?, ?, ?, ?, ?)', [
        kind,
        id,
        required,
        meta,
        nowS,
      ]);
      await this.#dropBeyondLimit();
      return { kind, id, required, meta, ts: nowS, acks: [], finalized: false };
    });
  }

  /** Counts an ack, under the policy of the record's kind. */
  ack(kind: string, id: string, node: string, policies: QuorumPolicies, nowS: number): Promise<AckOutcome> {
    return this.#change(async () => {
      const row = await this.#find(kind, id, 'writer');
      if (row === undefined) return { counted: false, why: 'UNKNOWN' };
      const policy = policyFor(policies, kind);
      const ack = { id: node, ts: nowS, w: weightOf(policy, node) };
      const acks = withAck(acksOf(row), ack);
      if (acks.length > this.#limits.acks) return { counted: false, why: 'TOO_MANY_ACKS' };
      const sum = sumOfWeights(policy, acks, nowS);
      const finalized = isFinalized(row.finalized === 1, sum, row.required);
      const { writer } = this.#file;
      await writer.run('INSERT OR REPLACE INTO acks (quorum, node, ts, w) VALUES (?, ?, ?, ?)', [
        row.position,
        node,
        ack.ts,
        ack.w,
      ]);
      await writer.run('UPDATE quorums SET finalized = ? WHERE position = ?', [finalized, row.position]);
      return { counted: true, finalized, sum, required: row.required };
    });
  }

  /** The record of a kind and an id. */
  async record(kind: string, id: string): Promise<QuorumRecord | undefined> {
    const row = await this.#find(kind, id, 'reader');
    return row && toRecord(row);
  }

  /** The newest records, of one kind or of all, newest first; at most MAX_LISTED. */
  async list(kind: string | undefined): Promise<QuorumRecord[]> {
    const { reader } = this.#file;
    const newest = `ORDER BY position DESC LIMIT ${MAX_LISTED}`;
    const rows =
      kind === undefined
        ? await reader.all<QuorumRow>(`${SELECT_QUORUMS} ${newest}`)
        : await reader.all<QuorumRow>(`${SELECT_QUORUMS} WHERE kind = ? ${newest}`, [kind]);
    return rows.map(toRecord);
  }

  /** Stores a heartbeat; `false` when there are too many hosts already. */
  announce(host: Announcement, nowS: number): Promise<boolean> {
    return this.#change(async () => {
      const [row] = await this.#file.writer.all<HostRow>('SELECT * FROM hosts WHERE node = ?', [host.nodeId]);
      if (row === undefined && !(await this.#hasRoomForHost(nowS))) return false;
      await this.#putHost({ ...host, ...afterHeartbeat(row && toHost(row), nowS) });
      return true;
    });
  }

  /** All hosts, ordered by their ids. */
  async hosts(): Promise<HostEntry[]> {
    const rows = await this.#file.reader.all<HostRow>('SELECT * FROM hosts ORDER BY node');
    return rows.map(toHost);
  }

  /** The number of records, and how many of them are final. */
  async counts(): Promise<{ readonly records: number; readonly finalized: number }> {
    const [row] = await this.#file.reader.all<{ records: number; finalized: number }>(
      'SELECT count(*) AS records, coalesce(sum(finalized), 0) AS finalized FROM quorums',
    );
    return row ?? { records: 0, finalized: 0 };
  }

  /** Finishes the changes in progress and closes the file. */
  close(): Promise<void> {
    return this.#queue.run(WRITER, () => this.#file.close(), busy);
  }

  #change<R>(work: () => Promise<R>): Promise<R> {
    return this.#queue.run(WRITER, () => this.#file.writer.transaction('BEGIN IMMEDIATE', work), busy);
  }

  async #find(kind: string, id: string, by: 'writer' | 'reader'): Promise<QuorumRow | undefined> {
    const [row] = await this.#file[by].all<QuorumRow>(`${SELECT_QUORUMS} WHERE kind = ? AND id = ?`, [kind, id]);
    return row;
  }

  async #count(table: 'quorums' | 'hosts'): Promise<number> {
    const [row] = await this.#file.writer.all<{ rows: number }>(`SELECT count(*) AS rows FROM ${table}`);
    return row?.rows ?? 0;
  }

  async #dropBeyondLimit(): Promise<void> {
    const { writer } = this.#file;
    const excess = (await this.#count('quorums')) - this.#limits.records;
    if (excess <= 0) return;
    const rows = await writer.all<{ position: number }>(
      'SELECT position FROM quorums ORDER BY finalized DESC, position LIMIT ?',
      [excess],
    );
    for (const { position } of rows) {
      await writer.run('DELETE FROM acks WHERE quorum = ?', [position]);
      await writer.run('DELETE FROM quorums WHERE position = ?', [position]);
    }
  }

  async #hasRoomForHost(nowS: number): Promise<boolean> {
    if ((await this.#count('hosts')) < this.#limits.hosts) return true;
    const { changes } = await this.#file.writer.run(
      'DELETE FROM hosts WHERE node = (SELECT node FROM hosts WHERE last_seen < ? ORDER BY last_seen LIMIT 1)',
      [nowS - LOST_AFTER_HEARTBEATS * HEARTBEAT_S],
    );
    return changes > 0;
  }

  async #putHost({ nodeId, url, prices, freeBytes, lastSeen, score, scoreAt }: HostEntry): Promise<void> {
    await this.#file.writer.run(
      `INSERT OR REPLACE INTO hosts (node, url, prices, free_bytes, last_seen, score, score_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      [nodeId, url, prices, freeBytes, lastSeen, score, scoreAt],
    );
  }

  /** Keeps the time without a broker from lowering the scores of hosts. */
  async #resume(nowS: number): Promise<void> {
    await this.#change(async () => {
      const hosts = (await this.#file.writer.all<HostRow>('SELECT * FROM hosts')).map(toHost);
      const heardAt = Math.max(...hosts.map(({ lastSeen }) => lastSeen));
      for (const host of hosts) await this.#putHost({ ...host, ...afterRestart(host, heardAt, nowS) });
    });
  }
}

function toRecord(row: QuorumRow): QuorumRecord {
  const { kind, id, required, meta, ts, finalized } = row;
  return { kind, id, required, meta, ts, finalized: finalized === 1, acks: acksOf(row) };
}

/** The acks of a record, the oldest first. */
function acksOf({ acks }: QuorumRow): Ack[] {
  return (JSON.parse(acks) as Ack[]).sort((a, b) => a.ts - b.ts || (a.id < b.id ? -1 : 1));
}

function toHost({ node, url, prices, free_bytes, last_seen, score, score_at }: HostRow): HostEntry {
  return { nodeId: node, url, prices, freeBytes: free_bytes, lastSeen: last_seen, score, scoreAt: score_at };
}
