import type { Param } from '../../sqlite/connection.js';
import type { EventFilter } from '../eventlog.js';

/** A filter as an SQL condition over the columns of `events`: empty or beginning with `AND`, with its parameters in order. */
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
