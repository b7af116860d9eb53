import { HASH_BYTES, MerkleFrontier } from '../../../domain/merkle.js';
import { equalBytes } from '../../crypto/bytes.js';
import { sha256 } from '../../crypto/sha256.js';
import { Connection } from '../../sqlite/connection.js';
import { packPeaks, unpackPeaks } from '../peaks.js';
import type { FrontierCache } from './ports.js';

/**
 * Frontiers in a file that may be deleted at any time, and that is not synced: what is lost is worked out again. What
 * belongs to another log or origin is thrown away.
 */
export class SqliteFrontiers implements FrontierCache {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** @param owner names the log and the origin */
  static async open(path: string, owner: string): Promise<SqliteFrontiers> {
    const connection = await Connection.open(path, 'write');
    try {
      await connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;');
      await connection.exec('CREATE TABLE IF NOT EXISTS frontiers (size INTEGER PRIMARY KEY, peaks BLOB NOT NULL);');
      await connection.exec('CREATE TABLE IF NOT EXISTS owner (name TEXT PRIMARY KEY);');
      const [known] = await connection.all<{ name: string }>('SELECT name FROM owner');
      if (known?.name !== owner) {
        await connection.exec('DELETE FROM frontiers; DELETE FROM owner;');
        await connection.run('INSERT INTO owner VALUES (?)', [owner]);
      }
      return new SqliteFrontiers(connection);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  async below(size: number): Promise<MerkleFrontier | undefined> {
    const sql = 'SELECT size, peaks FROM frontiers WHERE size <= ? ORDER BY size DESC LIMIT 1';
    for (;;) {
      const [row] = await this.#connection.all<{ size: number; peaks: Uint8Array }>(sql, [size]);
      if (row === undefined) return undefined;
      const frontier = frontierOf(row);
      if (frontier !== undefined) return frontier;
      await this.#connection.run('DELETE FROM frontiers WHERE size = ?', [row.size]);
    }
  }

  async put(frontier: MerkleFrontier): Promise<void> {
    const { size } = frontier;
    const peaks = packPeaks(frontier.peaks);
    const row = [size, Buffer.concat([peaks, checksum(size, peaks)])];
    // On a full disk it is not kept.
    await this.#connection.run('INSERT OR REPLACE INTO frontiers VALUES (?, ?)', row).catch(() => undefined);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** A frontier as it was put; undefined when it is damaged: what follows from it is signed. */
function frontierOf({ size, peaks: stored }: { size: number; peaks: Uint8Array }): MerkleFrontier | undefined {
  const peaks = stored.subarray(0, -HASH_BYTES);
  if (!equalBytes(stored.subarray(-HASH_BYTES), checksum(size, peaks))) return undefined;
  return new MerkleFrontier(sha256, size, unpackPeaks(peaks));
}

function checksum(size: number, peaks: Uint8Array): Uint8Array {
  return sha256(Buffer.from(`frontier ${size}\n`), peaks);
}
