import type { Connection, Row } from '../../sqlite/connection.js';
import { packPeaks } from '../protocol/peaks.js';
import { encodeSigned } from '../protocol/signed.js';
import type { HistoryChange } from './replica-store.js';

/** The bytes that each event counts against the budget in addition to its content. */
export const EVENT_BYTES = 256;
/** The columns of `events`, `head_tails` and `evidence`. */
export const COLUMNS = 'origin, sequence, etype, ts, eid, leaf, bytes, sealed, damaged';

interface PlacesRow extends Row {
  readonly head_sequence: number;
  readonly staged_sequence: number;
  readonly common: number;
}

/**
 * Moves rows so that `events` holds the first `keep` events of the history that the change continues.
 * @returns the number of bytes freed
 */
export async function arrange(
  connection: Connection,
  id: number,
  { before, base, keep, added, becomes }: HistoryChange,
): Promise<number> {
  const row = await storedPlaces(connection, id);
  const { common } = before;
  const [head, staged] = [before.head.sequence, before.staged.sequence];
  if (row?.common !== common || row.head_sequence !== head || row.staged_sequence !== staged)
    throw new Error('a batch was decided on a state that is not stored any more');
  const isApart = staged > common;
  let freed = 0;
  if (base === 'staged') {
    freed += await setAside(connection, 'events', id, keep);
    if (becomes === 'head') freed += await setAside(connection, 'head_tails', id, 0);
    return freed;
  }
  if (isApart) freed += await setStagedAside(connection, id, common);
  if (becomes === 'head') freed += await setAside(connection, 'events', id, keep);
  else if (added.length > 0 && keep < head) await move(connection, 'events', 'head_tails', id, keep);
  return freed;
}

/** Sets the staged events aside and removes the staged tree. @returns the number of bytes freed */
export async function removeStaged(connection: Connection, id: number): Promise<number> {
  const row = await storedPlaces(connection, id);
  if (row === undefined) return 0;
  const isApart = row.staged_sequence > row.common;
  const freed = isApart ? await setStagedAside(connection, id, row.common) : 0;
  await connection.run(
    `UPDATE origins SET staged = NULL, staged_sequence = 0, staged_peaks = x'', common = head_sequence WHERE id = ?`,
    [id],
  );
  return freed;
}

async function storedPlaces(connection: Connection, id: number): Promise<PlacesRow | undefined> {
  const sql = 'SELECT head_sequence, staged_sequence, common FROM origins WHERE id = ?';
  const [row] = await connection.all<PlacesRow>(sql, [id]);
  return row;
}

/** Sets staged events aside, so that `events` holds only the head. @returns the number of bytes freed */
async function setStagedAside(connection: Connection, id: number, common: number): Promise<number> {
  const freed = await setAside(connection, 'events', id, common);
  await move(connection, 'head_tails', 'events', id, 0);
  return freed;
}

async function move(connection: Connection, from: string, to: string, id: number, after: number): Promise<void> {
  const where = 'WHERE origin = ? AND sequence > ?';
  await connection.run(`INSERT INTO ${to} (${COLUMNS}) SELECT ${COLUMNS} FROM ${from} ${where}`, [id, after]);
  await connection.run(`DELETE FROM ${from} ${where}`, [id, after]);
}

/** Moves events after a sequence to `evidence`. @returns the bytes of those that were evidence already */
async function setAside(connection: Connection, from: string, id: number, after: number): Promise<number> {
  const where = 'WHERE origin = ? AND sequence > ?';
  const [row] = await connection.all<{ freed: number }>(
    `SELECT coalesce(sum(bytes + ${EVENT_BYTES}), 0) AS freed FROM ${from} AS e ${where} AND EXISTS (
       SELECT 1 FROM evidence AS x WHERE x.origin = e.origin AND x.sequence = e.sequence AND x.leaf = e.leaf)`,
    [id, after],
  );
  await connection.run(`INSERT OR IGNORE INTO evidence (${COLUMNS}) SELECT ${COLUMNS} FROM ${from} ${where}`, [
    id,
    after,
  ]);
  await connection.run(`DELETE FROM ${from} ${where}`, [id, after]);
  return row?.freed ?? 0;
}

/** Writes the new places and trees of both histories. */
export async function writePlaces(connection: Connection, id: number, { becomes, tree, places, known }: HistoryChange) {
  const { head, staged, common } = places;
  const signed = encodeSigned(tree);
  await connection.run(
    `UPDATE origins
     SET ${becomes === 'head' ? 'head = ?1, staged = NULL' : 'staged = ?1'}, known = ?2, head_sequence = ?3, head_peaks = ?4,
       staged_sequence = ?5, staged_peaks = ?6, common = ?7
     WHERE id = ?8`,
    [
      signed,
      known && encodeSigned(known),
      head.sequence,
      packPeaks(head.peaks),
      staged.sequence,
      packPeaks(staged.peaks),
      common,
      id,
    ],
  );
}
