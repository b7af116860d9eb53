import { join } from 'node:path';
import { Connection } from '../../../src/infra/sqlite/connection.js';

/** Queries the database file of a host. */
export async function inHostFile<R>(folder: string, sql: string, mode: 'read' | 'write' = 'read'): Promise<R[]> {
  const connection = await Connection.open(join(folder, 'host.db'), mode);
  try {
    return await connection.all<R>(sql);
  } finally {
    await connection.close();
  }
}

/** A host's evidence, set aside or refused as a fork: the kinds of trees in order of arrival, and the numbers of events. */
export async function evidenceOf(folder: string): Promise<{ readonly trees: string[]; readonly events: number[] }> {
  const trees = await inHostFile<{ kind: string }>(folder, 'SELECT kind FROM evidence_trees ORDER BY ts');
  const events = await inHostFile<{ sequence: number }>(folder, 'SELECT sequence FROM evidence ORDER BY sequence');
  return { trees: trees.map(({ kind }) => kind), events: events.map(({ sequence }) => sequence) };
}

/** The evidence of a host that keeps none. */
export const NO_EVIDENCE = { trees: [], events: [] };
