import { BACKWARDS, END, EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';
import type { Prepared } from './rows.js';

/** The connected client that our log is compared with; connecting is not part of the measurement. */
export async function connectBare(url: string): Promise<EventStoreDBClient> {
  const client = EventStoreDBClient.connectionString(url);
  for await (const _ of client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 }));
  return client;
}

/** Appends what `log.append(stream, [event], expected)` would. */
export async function appendBare(client: EventStoreDBClient, { stream, event, revision }: Prepared): Promise<void> {
  const { id, type, data, metadata } = event;
  const expectedRevision = revision === 0 ? NO_STREAM : BigInt(revision - 1);
  await client.appendToStream(stream, jsonEvent({ id, type, data, metadata: { ...metadata } }), { expectedRevision });
}
