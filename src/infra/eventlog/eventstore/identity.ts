import { LogError, WrongExpectedRevision } from '../errors.js';
import { isLogId, newLogId } from '../log-id.js';
import type { Appender } from './appender.js';
import { bareEvent, positionOf, type AnyRecord, type EventCodec } from './event-codec.js';
import type { End, Reader } from './reader.js';

/** The stream whose last event holds the log's id. It is not part of the log. */
const STREAM = 'sheratan-log';
const NAMED = 'LogNamed';

/** Returns the log's id; the first caller gives it one. @throws LogError */
export async function nameOfLog(codec: EventCodec, reader: Reader, appender: Appender): Promise<string> {
  const last = await lastNaming(codec, reader);
  if (last !== undefined) return readName(last);
  try {
    return await append(codec, appender, 'no-stream');
  } catch (error) {
    // Another core named the log first.
    if (error instanceof WrongExpectedRevision) return nameOfLog(codec, reader, appender);
    throw error;
  }
}

/** Gives the log a new id and returns it. @throws LogError */
export async function nameLog(codec: EventCodec, reader: Reader, appender: Appender): Promise<string> {
  const last = await lastNaming(codec, reader);
  return append(codec, appender, last?.revision ?? 'no-stream');
}

/** The place where the log begins: its id is written before anything else. @throws LogError */
export async function startOfLog(codec: EventCodec, reader: Reader): Promise<End> {
  const stream = codec.streamName(STREAM);
  for await (const record of reader.stream(stream, { limit: 1 })) {
    if (record.revision === 0n) return { position: positionOf(record) ?? 0n, stream };
  }
  return { position: 0n, stream: undefined };
}

async function append(codec: EventCodec, appender: Appender, expected: bigint | 'no-stream'): Promise<string> {
  const logId = newLogId();
  const name = codec.streamName(STREAM);
  await appender.append({ stream: STREAM, name, events: [bareEvent(NAMED, { logId })], expected, bytes: 0 });
  return logId;
}

async function lastNaming(codec: EventCodec, reader: Reader): Promise<AnyRecord | undefined> {
  const options = { direction: 'backward', limit: 1 } as const;
  for await (const record of reader.stream(codec.streamName(STREAM), options)) return record;
  return undefined;
}

function readName({ data }: AnyRecord): string {
  const { logId } = data as { readonly logId?: unknown };
  if (isLogId(logId)) return logId;
  throw new LogError('LOG_CORRUPT', `The last event of stream '${STREAM}' has no valid log id: restore the server.`);
}
