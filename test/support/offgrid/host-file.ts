import { join } from 'node:path';
import { Connection } from '../../../src/infra/sqlite/connection.js';

/** Looks into the file of a host. */
export async function inHostFile<R>(folder: string, sql: string, mode: 'read' | 'write' = 'read'): Promise<R[]> {
  const connection = await Connection.open(join(folder, 'host.db'), mode);
  try {
    return await connection.all<R>(sql);
  } finally {
    await connection.close();
  }
}

/** What a host has set aside, or refused as a fork: why it keeps trees, in the order they came, and the numbers of the events. */
export async function evidenceOf(folder: string): Promise<{ readonly trees: string[]; readonly events: number[] }> {
  const trees = await inHostFile<{ kind: string }>(folder, 'SELECT kind FROM evidence_trees ORDER BY ts');
  const events = await inHostFile<{ sequence: number }>(folder, 'SELECT sequence FROM evidence ORDER BY sequence');
  return { trees: trees.map(({ kind }) => kind), events: events.map(({ sequence }) => sequence) };
}

/** What a host keeps that has kept no evidence. */
export const NO_EVIDENCE = { trees: [], events: [] };
