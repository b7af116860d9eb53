import { START, streamNameFilter, type AllStreamRecordedEvent, type EventStoreDBClient } from '@eventstore/db-client';
import { EventCodec } from '../../src/infra/eventlog/eventstore/event-codec.js';
import { missions } from '../../src/projections/missions.js';
import { BATCH, type HandData, type HandEvent, type HandMetadata } from './by-hand.js';

/** The events of a server until it reports the end, by a subscription of its bare client. */
export async function* eventsOfServer(client: EventStoreDBClient): AsyncGenerator<HandEvent[]> {
  const prefixes = new EventCodec('').prefixes(
    missions.categories === 'ALL' ? {} : { categories: missions.categories },
  );
  const subscription = client.subscribeToAll({ fromPosition: START, filter: streamNameFilter({ prefixes }) });
  let isCaughtUp = false;
  let wake: () => void = () => undefined;
  subscription.on('readable', () => wake());
  subscription.on('caughtUp', () => {
    isCaughtUp = true;
    wake();
  });
  let batch: HandEvent[] = [];
  for (;;) {
    const changed = new Promise<void>((resolve) => (wake = resolve));
    for (let resolved = read(subscription); resolved !== null; resolved = read(subscription)) {
      if (resolved.event !== undefined) batch.push(toHandEvent(resolved.event));
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
    if (isCaughtUp) break;
    await changed;
  }
  if (batch.length > 0) yield batch;
  await subscription.unsubscribe();
}

function read(subscription: { read(): unknown }): { readonly event?: AllStreamRecordedEvent } | null {
  return subscription.read() as { readonly event?: AllStreamRecordedEvent } | null;
}

function toHandEvent({ position, revision, type, data, metadata }: AllStreamRecordedEvent): HandEvent {
  return {
    position: Number(position.commit),
    revision: Number(revision),
    type,
    data: data as unknown as HandData,
    metadata: metadata as unknown as HandMetadata,
  };
}
