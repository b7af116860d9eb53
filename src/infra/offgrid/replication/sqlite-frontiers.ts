import { HASH_BYTES, MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { Connection } from '../../sqlite/connection.js';
import { packPeaks, unpackPeaks } from '../protocol/peaks.js';
import type { FrontierCache, KeptFrontier } from './ports.js';

/** Stored in the file's `user_version`; frontiers in another format are discarded. */
const FORMAT = 2;

/**
 * Frontiers in a file that may be deleted at any time, and that is not synced: lost frontiers are computed again.
 * Frontiers of another log or origin are discarded.
 */
export class SqliteFrontiers implements FrontierCache {
  readonly spacing = 1_024;
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** @param owner names the log and the origin */
  static async open(path: string, owner: string): Promise<SqliteFrontiers> {
    const connection = await Connection.open(path, 'write');
    try {
      await connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;');
      const [format] = await connection.all<{ user_version: number }>('PRAGMA user_version');
      if (format?.user_version !== FORMAT) await connection.exec('DROP TABLE IF EXISTS frontiers;');
      await connection.exec(
        'CREATE TABLE IF NOT EXISTS frontiers (size INTEGER PRIMARY KEY, last_entry BLOB NOT NULL, peaks BLOB NOT NULL);',
      );
      await connection.exec('CREATE TABLE IF NOT EXISTS owner (name TEXT PRIMARY KEY);');
      const [known] = await connection.all<{ name: string }>('SELECT name FROM owner');
      if (known?.name !== owner) {
        await connection.exec('DELETE FROM frontiers; DELETE FROM owner;');
        await connection.run('INSERT INTO owner VALUES (?)', [owner]);
      }
      await connection.exec(`PRAGMA user_version = ${FORMAT};`);
      return new SqliteFrontiers(connection);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async below(size: number): Promise<KeptFrontier | undefined> {
    const sql = 'SELECT size, last_entry, peaks FROM frontiers WHERE size <= ? ORDER BY size DESC LIMIT 1';
    for (;;) {
      const [row] = await this.#connection.all<FrontierRow>(sql, [size]);
      if (row === undefined) return undefined;
      const kept = keptIn(row);
      if (kept !== undefined) return kept;
      await this.#connection.run('DELETE FROM frontiers WHERE size = ?', [row.size]);
    }
  }

  async put({ frontier, lastEntry }: KeptFrontier): Promise<void> {
    const { size } = frontier;
    const peaks = packPeaks(frontier.peaks);
    const row = [size, lastEntry, Buffer.concat([peaks, checksum(size, lastEntry, peaks)])];
    // A frontier that cannot be written, as on a full disk, is not kept.
    await this.#connection.run('INSERT OR REPLACE INTO frontiers VALUES (?, ?, ?)', row).catch(() => undefined);
  }

  async dropFrom(size: number): Promise<void> {
    await this.#connection.run('DELETE FROM frontiers WHERE size >= ?', [size]);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

interface FrontierRow {
  readonly size: number;
  readonly last_entry: Uint8Array;
  readonly peaks: Uint8Array;
}

/** A frontier as it was put; undefined when it is damaged, because what is computed from it is signed. */
function keptIn({ size, last_entry: lastEntry, peaks: stored }: FrontierRow): KeptFrontier | undefined {
  const peaks = stored.subarray(0, -HASH_BYTES);
  if (!equalBytes(stored.subarray(-HASH_BYTES), checksum(size, lastEntry, peaks))) return undefined;
  return { frontier: new MerkleFrontier(sha256, size, unpackPeaks(peaks)), lastEntry };
}

function checksum(size: number, lastEntry: Uint8Array, peaks: Uint8Array): Uint8Array {
  return sha256(Buffer.from(`frontier ${size}\n`), lastEntry, peaks);
}
