import { categoryOf, type RecordedEvent } from '../../domain/event.js';
import type { Param } from '../sqlite/connection.js';
import type { EventFilter } from './eventlog.js';

/** Whether an event is one the filter asks for. */
export function matches(filter: EventFilter | undefined, event: RecordedEvent): boolean {
  if (filter === undefined) return true;
  const { categories, types, streams } = filter;
  return (
    (types === undefined || types.includes(event.type)) &&
    (streams === undefined || streams.includes(event.stream)) &&
    (categories === undefined || categories.includes(categoryOf(event.stream)))
  );
}

/** The same question as a condition over the columns of `events`, to follow `AND`; it has as many parameters. */
export function filterCondition(filter: EventFilter | undefined): { readonly sql: string; readonly params: Param[] } {
  const parts: string[] = [];
  const params: Param[] = [];
  const anyOf = (values: readonly string[] | undefined, condition: (marks: string) => string) => {
    if (values === undefined) return;
    parts.push(values.length === 0 ? 'AND false' : `AND ${condition(values.map(() => '?').join(', '))}`);
    params.push(...values);
  };
  anyOf(filter?.types, (marks) => `type IN (${marks})`);
  anyOf(filter?.streams, (marks) => `stream IN (${marks})`);
  anyOf(filter?.categories, (marks) => `substr(stream, 1, instr(stream, '-') - 1) IN (${marks})`);
  return { sql: parts.join(' '), params };
}
