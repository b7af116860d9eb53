import { MAX_DAMAGED, MAX_ENTRIES } from './answers.js';
import { MAX_ANSWER_EVENTS } from './events-answer.js';
import { eventCount, type Sequence } from './fields.js';
import { integer, malformed, text, type Field } from './members.js';

/** The maximum of the `bytes` parameter: the size of the envelopes in an answer. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** The default of the `bytes` parameter. */
const DEFAULT_ANSWER_BYTES = 256 * 1024;

/** The histories of an origin that a host may have: that of its head, and the staged one. */
export type HistoryName = 'head' | 'staged';

/** A page of entries: those with a sequence above `after`, at most `limit`. */
export interface EntriesQuery {
  readonly of: HistoryName;
  readonly after: Sequence;
  readonly limit: number;
}

/** A page of events. `bytes` limits the total size of envelopes; the first event is in the page regardless of its size. */
export interface EventsQuery extends EntriesQuery {
  readonly bytes: number;
}

/** A page of the sequences of damaged events. */
export type DamagedQuery = Omit<EntriesQuery, 'of'>;

/** The parameters of a query by name; a parameter that is given twice is an array. */
type Parameters = Readonly<Record<string, unknown>>;

const challengeText = text(/^[0-9a-f]{64}$/, '64 digits of 0-9a-f');
const historyName: Field<HistoryName> = (value, where) => {
  if (value !== 'head' && value !== 'staged') throw malformed(value, where, '`head` or `staged`');
  return value;
};

/** The challenge of `GET …/head`: 32 bytes. @throws ProtocolError MALFORMED */
export function challengeOf(query: Parameters): Uint8Array {
  return Buffer.from(challengeText(query['challenge'], 'challenge'), 'hex');
}

/** The number of entries whose root `GET …/roots` requests. @throws ProtocolError MALFORMED */
export function rootsQuery(query: Parameters): Sequence {
  return numberOf(query, 'at', eventCount);
}

/** The query of `GET …/entries`, with defaults. @throws ProtocolError MALFORMED */
export function entriesQuery(query: Parameters): EntriesQuery {
  return {
    of: historyName(query['of'] ?? 'head', 'of'),
    after: numberOf(query, 'after', eventCount, 0),
    limit: numberOf(query, 'limit', integer(1, MAX_ENTRIES), MAX_ENTRIES),
  };
}

/** The query of `GET …/events`, with defaults. @throws ProtocolError MALFORMED */
export function eventsQuery(query: Parameters): EventsQuery {
  return {
    of: historyName(query['of'] ?? 'head', 'of'),
    after: numberOf(query, 'after', eventCount, 0),
    limit: numberOf(query, 'limit', integer(1, MAX_ANSWER_EVENTS), MAX_ANSWER_EVENTS),
    bytes: numberOf(query, 'bytes', integer(1, MAX_ANSWER_BYTES), DEFAULT_ANSWER_BYTES),
  };
}

/** The query of `GET …/damaged`, with defaults. @throws ProtocolError MALFORMED */
export function damagedQuery(query: Parameters): DamagedQuery {
  return {
    after: numberOf(query, 'after', eventCount, 0),
    limit: numberOf(query, 'limit', integer(1, MAX_DAMAGED), MAX_DAMAGED),
  };
}

function numberOf(query: Parameters, name: string, field: Field<number>, fallback?: number): number {
  const value = query[name];
  if (value === undefined && fallback !== undefined) return fallback;
  return field(typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value, name);
}
