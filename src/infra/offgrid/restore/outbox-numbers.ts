import { existsSync } from 'node:fs';
import { readGeneration } from '../../projector/projection-file.js';
import { entriesBetween } from '../../readmodels/outbox/outbox-rows.js';
import { Connection, SqliteError } from '../../sqlite/connection.js';

/** What `outbox.db` records of a log: which positions hold replicated events, and under which numbers. */
export interface OutboxNumbers {
  readonly logId: string;
  /** The position up to which it has folded the log. */
  readonly through: number;
  /** The numbers of replicated events, by position. */
  between(from: number, to: number): Promise<ReadonlyMap<number, number>>;
  close(): Promise<void>;
}

/** Opens the numbers in an outbox file. @returns undefined when the file does not exist, or is damaged too */
export async function openOutboxNumbers(path: string): Promise<OutboxNumbers | undefined> {
  if (!existsSync(path)) return undefined;
  let file: Connection | undefined;
  try {
    file = await Connection.open(path, 'read');
    const live = await readGeneration(file, 'live');
    if (live !== undefined) return numbersIn(file, live.logId, Number(live.position));
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
  }
  await file?.close();
  return undefined;
}

function numbersIn(file: Connection, logId: string, through: number): OutboxNumbers {
  return {
    logId,
    through,
    async between(from, to) {
      const rows = await entriesBetween(file, from, to).catch((error: unknown) => {
        if (error instanceof SqliteError) return [];
        throw error;
      });
      return new Map(rows.map(({ id, position }) => [position, id]));
    },
    close: () => file.close(),
  };
}
