import { categoryOf, type RecordedEvent } from '../../domain/event.js';
import type { EventFilter } from './eventlog.js';

/** Whether an event matches a filter. No filter matches every event. */
export function matches(filter: EventFilter | undefined, event: RecordedEvent): boolean {
  if (filter === undefined) return true;
  const { categories, types, streams } = filter;
  return (
    (types === undefined || types.includes(event.type)) &&
    (streams === undefined || streams.includes(event.stream)) &&
    (categories === undefined || categories.includes(categoryOf(event.stream)))
  );
}
