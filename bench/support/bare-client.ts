import { ANY, BACKWARDS, END, EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client';
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

/** Records in one append of `appendForeign`. */
const FOREIGN_BATCH = 1_000;

/** Appends records of another application, of about 512 bytes each. */
export async function appendForeign(url: string, count: number): Promise<void> {
  const client = await connectBare(url);
  const data = { text: 'x'.repeat(500) };
  for (let left = count; left > 0; left -= FOREIGN_BATCH) {
    const events = Array.from({ length: Math.min(left, FOREIGN_BATCH) }, () => jsonEvent({ type: 'Other', data }));
    await client.appendToStream('other-1', events, { expectedRevision: ANY });
  }
  await client.dispose();
}
