import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../crypto/bytes.js';
import type { Connection, Row } from '../../sqlite/connection.js';
import { ProcessLock } from '../../sqlite/process-lock.js';
import type { Origin } from '../protocol/fields.js';
import { Blobs } from './blobs.js';
import { EVENT_BYTES } from './history-rows.js';
import { HostFile } from './host-file.js';

/** How long to wait for a host that is stopping, in milliseconds. */
const LOCK_WAIT_MS = 1_000;
/** The number of digits of a key in the name under which its origin is set aside. */
const KEY_DIGITS = 16;
/** The text after the origin in that name. It contains a space, which no name of an origin does. */
const ASIDE = ' (key ';

/** The tables that hold events. */
const TABLES = ['events', 'head_tails', 'evidence'] as const;
/** Matches the origin itself, and what was set aside for its name under other keys. */
const WITH_SET_ASIDE = `(origin = ?1 OR instr(origin, ?1 || '${ASIDE}') = 1)`;

/** An operator's request cannot be carried out; the message names the cause. */
export class MaintenanceError extends Error {
  override readonly name = 'MaintenanceError';
}

interface OriginRow extends Row {
  readonly id: number;
  readonly origin: string;
  readonly key: Uint8Array;
}

/**
 * Removes the pinned key of an origin at a stopped host: the next claim pins its key. What was kept under the old key is set
 * aside as evidence.
 * @returns the key that was pinned
 * @throws MaintenanceError
 */
export function resetKey(folder: string, origin: Origin): Promise<Uint8Array> {
  return onStopped(folder, async (file) => {
    let pinned: Uint8Array | undefined;
    await file.write(async (connection) => {
      const [row] = await connection.all<OriginRow>('SELECT id, origin, key FROM origins WHERE origin = ?', [origin]);
      if (row === undefined) return 0;
      pinned = row.key;
      const aside = `${origin}${ASIDE}${toHex(row.key).slice(0, KEY_DIGITS)} of ${row.id})`;
      await connection.run('UPDATE origins SET origin = ?, claim = NULL WHERE id = ?', [aside, row.id]);
      return 0;
    });
    if (pinned === undefined) throw new MaintenanceError(`This host keeps nothing of '${origin}': no key is pinned.`);
    return pinned;
  });
}

/** The number of events and bytes that were dropped. */
export interface Dropped {
  readonly events: number;
  readonly bytes: number;
}

/**
 * Deletes what a stopped host has set aside of an origin: evidence and its trees, and everything that was kept under keys that
 * were reset. The head and the staged history remain.
 * @throws MaintenanceError
 */
export function dropEvidence(folder: string, origin: Origin): Promise<Dropped> {
  return onStopped(folder, async (file) => {
    let dropped: Dropped = { events: 0, bytes: 0 };
    await file.write(async (connection) => {
      const origins = await connection.all<OriginRow>(`SELECT id, origin, key FROM origins WHERE ${WITH_SET_ASIDE}`, [
        origin,
      ]);
      if (origins.length === 0) throw new MaintenanceError(`This host keeps nothing of '${origin}'.`);
      for (const { id, origin: name } of origins) {
        const tables = name === origin ? (['evidence'] as const) : TABLES;
        for (const table of tables) dropped = sum(dropped, await emptied(connection, table, id));
        await connection.run('DELETE FROM evidence_trees WHERE origin = ?', [id]);
        if (name !== origin) await connection.run('DELETE FROM origins WHERE id = ?', [id]);
      }
      return -dropped.bytes;
    });
    const blobs = await Blobs.open(join(folder, 'blobs'));
    await blobs.sweep((eid) => file.read((reader) => isNamed(reader, eid)));
    return dropped;
  });
}

async function emptied(connection: Connection, table: (typeof TABLES)[number], id: number): Promise<Dropped> {
  const [row = { events: 0, bytes: 0 }] = await connection.all<{ events: number; bytes: number }>(
    `SELECT count(*) AS events, coalesce(sum(bytes + ${EVENT_BYTES}), 0) AS bytes FROM ${table} WHERE origin = ?`,
    [id],
  );
  await connection.run(`DELETE FROM ${table} WHERE origin = ?`, [id]);
  return row;
}

/** Whether any event still has the content of this address. */
async function isNamed(reader: Connection, eid: Uint8Array): Promise<boolean> {
  const anywhere = TABLES.map((table) => `SELECT 1 FROM ${table} WHERE eid = ?1`).join(' UNION ALL ');
  return (await reader.all(`SELECT 1 FROM (${anywhere}) LIMIT 1`, [eid])).length > 0;
}

function sum(a: Dropped, b: Dropped): Dropped {
  return { events: a.events + b.events, bytes: a.bytes + b.bytes };
}

/** Opens the file of a stopped host for one operation. */
async function onStopped<R>(folder: string, work: (file: HostFile) => Promise<R>): Promise<R> {
  const path = join(folder, 'host.db');
  await access(path).catch(() => {
    throw new MaintenanceError(`${path} does not exist: no host has run there. Check SHERATAN_DATA_DIR and --name.`);
  });
  const lock = await ProcessLock.take(join(folder, 'host.lock'), LOCK_WAIT_MS);
  if (lock === undefined)
    throw new MaintenanceError(`A host runs in ${folder}. Stop it first: its file must not be written while it runs.`);
  try {
    const file = await HostFile.open(path, undefined, Number.POSITIVE_INFINITY);
    return await work(file).finally(() => file.close());
  } finally {
    await lock.release();
  }
}
