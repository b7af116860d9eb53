import type { RecordedEvent } from '../../../domain/event.js';
import type { EventFilter } from '../../eventlog/eventlog.js';
import type { CoreServices } from '../../services/core-services.js';
import { make } from '../kit/make.js';
import { perCore } from '../kit/per-core.js';
import { EventRecord, toEvent } from './types.js';

/** Events of a subscription read at a time. */
const BATCH = 100;

/** What was made of each event: subscribers are given the same objects, so work on them can be shared. */
const records = perCore(() => new WeakMap<RecordedEvent, EventRecord>());

/** The log itself from a position on. */
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
