import { LogError, WrongExpectedRevision } from '../errors.js';
import { isLogId, newLogId } from '../log-id.js';
import type { Appender } from './appender.js';
import { bareEvent, positionOf, type AnyRecord, type Records } from './event-codec.js';
import type { Reader } from './reader.js';

/** The stream whose last event says which log this is. It is none of the log's own. */
const STREAM = 'sheratan-log';
const NAMED = 'LogNamed';

/** The log's name; it is given one by the first who asks. @throws LogError */
export async function nameOfLog(records: Records, reader: Reader, appender: Appender): Promise<string> {
  const last = await lastNaming(records, reader);
  if (last !== undefined) return readName(last);
  try {
    return await append(records, appender, 'no-stream');
  } catch (error) {
    // Another was a moment faster.
    if (error instanceof WrongExpectedRevision) return nameOfLog(records, reader, appender);
    throw error;
  }
}

/** Gives the log another name. @throws LogError */
export async function nameLog(records: Records, reader: Reader, appender: Appender): Promise<string> {
  const last = await lastNaming(records, reader);
  return append(records, appender, last?.revision ?? 'no-stream');
}

/** Where the log begins: it is named before anything else is written to it. @throws LogError */
export async function startOfLog(records: Records, reader: Reader): Promise<bigint> {
  for await (const record of reader.stream(records.streamName(STREAM), { limit: 1 })) {
    if (record.revision === 0n) return positionOf(record) ?? 0n;
  }
  return 0n;
}

async function append(records: Records, appender: Appender, expected: bigint | 'no-stream'): Promise<string> {
  const logId = newLogId();
  const name = records.streamName(STREAM);
  await appender.append({ stream: STREAM, name, events: [bareEvent(NAMED, { logId })], expected, bytes: 0 });
  return logId;
}

async function lastNaming(records: Records, reader: Reader): Promise<AnyRecord | undefined> {
  const options = { direction: 'backward', limit: 1 } as const;
  for await (const record of reader.stream(records.streamName(STREAM), options)) return record;
  return undefined;
}

function readName({ data }: AnyRecord): string {
  const { logId } = data as { readonly logId?: unknown };
  if (isLogId(logId)) return logId;
  throw new LogError('LOG_CORRUPT', `The stream '${STREAM}' does not say which log this is: restore the server.`);
}
