import {
  PROGRESS,
  type HostRow,
  type KeyRow,
  type PolicyRow,
  type ProgressRow,
} from '../../../projections/outbox-tables.js';
import type { Connection, Row } from '../../sqlite/connection.js';

/** The rows of the outbox about replication, all read at one moment. */
export interface ReplicationRows {
  /** Undefined before the first event. */
  readonly progress: ProgressRow | undefined;
  /** The policies from the one in force on, by version. */
  readonly policies: readonly PolicyRow[];
  readonly hosts: readonly Pick<HostRow, 'host' | 'state' | 'why' | 'sequence' | 'head'>[];
  /** The key epochs, by sequence. */
  readonly keys: readonly KeyRow[];
}

/** Reads the rows about replication in one transaction. */
export function replicationRows(connection: Connection): Promise<ReplicationRows> {
  return connection.transaction('BEGIN', async () => {
    const [progress] = await connection.all<ProgressRow & Row>('SELECT * FROM progress WHERE name = ?', [PROGRESS]);
    const policies = await connection.all<PolicyRow & Row>(
      'SELECT * FROM policies WHERE version >= ? ORDER BY version',
      [progress?.policy ?? 0],
    );
    const hosts = await connection.all<HostRow & Row>('SELECT host, state, why, sequence, head FROM hosts');
    const keys = await connection.all<KeyRow & Row>('SELECT * FROM keys ORDER BY sequence');
    return { progress, policies, hosts, keys };
  });
}

/** The sequence of a replicated event, and its position as text. */
export interface EntryPlace {
  readonly id: number;
  readonly position: string;
}

/** The positions of the entries after a sequence, in the order of sequences, at most `limit`. */
export function entryPlaces(connection: Connection, after: number, limit: number): Promise<EntryPlace[]> {
  const sql = 'SELECT id, CAST(position AS TEXT) AS position FROM entries WHERE id > ? ORDER BY id LIMIT ?';
  return connection.all<EntryPlace & Row>(sql, [after, limit]);
}

/** The sequences of the entries at positions `from` to `to`, both included. */
export function entriesBetween(
  connection: Connection,
  from: number,
  to: number,
): Promise<{ readonly id: number; readonly position: number }[]> {
  const sql = 'SELECT id, position FROM entries WHERE position >= ? AND position <= ? ORDER BY position';
  return connection.all<{ id: number; position: number }>(sql, [from, to]);
}

const REPLICATED_THROUGH = `
  SELECT CAST(coalesce(
    (SELECT e.position - 1 FROM progress p JOIN entries e ON e.id = p.quorum + 1),
    (SELECT g.position FROM generations g
      WHERE g.slot = 'live' AND coalesce((SELECT p.quorum <= p.head FROM progress p), true))) AS TEXT) AS through`;

/**
 * The position up to which every replicated event is at quorum: directly before the first that is not, or the end of what is
 * folded when all of them are. Undefined when the quorum sequence is above the last sequence.
 */
export async function replicatedThrough(connection: Connection): Promise<bigint | undefined> {
  const [row] = await connection.all<{ through: string | null }>(REPLICATED_THROUGH);
  return row?.through === null || row === undefined ? undefined : BigInt(row.through);
}

const QUORUM_POSITION = `SELECT CAST(e.position AS TEXT) AS position FROM progress AS p
  JOIN entries AS e ON e.id = p.quorum WHERE p.name = ?`;

/** The position of the last event at quorum; 0 without one. */
export async function quorumPosition(connection: Connection): Promise<bigint> {
  const [row] = await connection.all<{ position: string }>(QUORUM_POSITION, [PROGRESS]);
  return BigInt(row?.position ?? 0);
}

/** How many events are known to be at quorum; undefined before the first event. */
export async function quorumSequence(connection: Connection): Promise<number | undefined> {
  const [row] = await connection.all<{ quorum: number }>('SELECT quorum FROM progress');
  return row?.quorum;
}

/** The hosts of the latest policy that are not RETIRED, by URL. */
export function hostsOfPolicy(connection: Connection): Promise<Pick<HostRow, 'url' | 'host'>[]> {
  return connection.all<Pick<HostRow, 'url' | 'host'> & Row>(
    "SELECT url, host FROM hosts WHERE weight > 0 AND state <> 'RETIRED' ORDER BY url",
  );
}

/** A host that a policy has named, by its fingerprint. */
export async function hostByFingerprint(connection: Connection, host: string): Promise<HostRow | undefined> {
  const [row] = await connection.all<HostRow & Row>('SELECT * FROM hosts WHERE host = ?', [host]);
  return row;
}
