import { MerkleFrontier } from '../../../domain/merkle.js';
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
    const [row] = await this.#connection.all<{ size: number; peaks: Uint8Array }>(sql, [size]);
    try {
      return row && new MerkleFrontier(sha256, row.size, unpackPeaks(row.peaks));
    } catch {
      // It is damaged.
      return undefined;
    }
  }

  async put(frontier: MerkleFrontier): Promise<void> {
    const row = [frontier.size, packPeaks(frontier.peaks)];
    // On a full disk it is not kept.
    await this.#connection.run('INSERT OR REPLACE INTO frontiers VALUES (?, ?)', row).catch(() => undefined);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
