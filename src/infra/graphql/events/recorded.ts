import type { RecordedEvent } from '../../../domain/event.js';
import type { EventFilter } from '../../eventlog/eventlog.js';
import type { CoreServices } from '../../services/core-services.js';
import { make } from '../kit/make.js';
import { perCore } from '../kit/per-core.js';
import { EventRecord, toEvent } from './types.js';

/** The number of events that a subscription reads at a time. */
const BATCH = 100;

/** The record of each event. All subscribers receive the same object for an event, so that work on it can be shared. */
const records = perCore(() => new WeakMap<RecordedEvent, EventRecord>());

/** The events of the log after a position that match a filter, in order, until the signal aborts. */
export async function* recordedEvents(
  services: CoreServices,
  after: bigint,
  filter: EventFilter,
  signal: AbortSignal,
): AsyncIterable<EventRecord> {
  const made = records(services);
  const token = (position: bigint) => services.token(position);
  for await (const { events } of services.log.subscribe({ after, filter, signal, batchSize: BATCH })) {
    for (const event of events) {
      const record =
        made.get(event) ?? make(EventRecord, { position: token(event.position), event: toEvent(event, token) });
      made.set(event, record);
      yield record;
    }
  }
}
