import { randomUUID } from 'node:crypto';
import {
  binaryEvent,
  EventStoreDBClient,
  type AllStreamRecordedEvent,
  type ReadAllOptions,
  type ReadStreamOptions,
} from '@eventstore/db-client';
import { onTestFinished } from 'vitest';
import { StandIn, type StandInOptions } from './stand-in.js';

/** A stand-in that stops after the test; by default it writes no statistics of its own. */
export async function start(options: StandInOptions = {}): Promise<StandIn> {
  const standIn = await StandIn.start({ noise: 0, ...options });
  onTestFinished(() => standIn.stop());
  return standIn;
}

/** The bare client, disposed of after the test. */
export function connect(url: string): EventStoreDBClient {
  const client = EventStoreDBClient.connectionString(url);
  onTestFinished(() => client.dispose());
  return client;
}

export function newEvent(type: string, id: string = randomUUID()) {
  return binaryEvent({ id, type, data: Buffer.from(type) });
}

export function newEvents(...types: string[]) {
  return types.map((type) => newEvent(type));
}

/** The types of a stream's events, in the order they are read. */
export async function typesOf(
  client: EventStoreDBClient,
  stream: string,
  options: ReadStreamOptions = {},
): Promise<string[]> {
  const types: string[] = [];
  for await (const { event } of client.readStream(stream, options)) types.push(event?.type ?? '');
  return types;
}

/** The events that a read of `$all` returns. */
export async function readAll(
  client: EventStoreDBClient,
  options: ReadAllOptions = {},
): Promise<AllStreamRecordedEvent[]> {
  const events: AllStreamRecordedEvent[] = [];
  for await (const { event } of client.readAll(options)) if (event !== undefined) events.push(event);
  return events;
}
