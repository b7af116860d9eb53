import { invalidArgument } from './errors.js';
import type { ReadRequest } from './outlet.js';
import type { StoredRecord } from './record.js';

/** Records read at a time, and the search window of a filter that names none. */
export const PAGE_SIZE = 32;

export interface Filter {
  readonly allows: (record: StoredRecord) => boolean;
  /** How many records a page examines. */
  readonly searchWindow: number;
  /** The number of records between two checkpoints. */
  readonly checkpointInterval: number;
}

type FilterOptions = NonNullable<ReturnType<NonNullable<ReturnType<ReadRequest['getOptions']>>['getFilter']>>;

export function parseFilter(options: FilterOptions): Filter {
  const [streamExpression, typeExpression] = [options.getStreamIdentifier(), options.getEventType()];
  const expression = streamExpression ?? typeExpression;
  if (expression === undefined) throw invalidArgument('There is no filter expression');
  const subject = streamExpression === undefined ? 'type' : 'stream';
  const [regex, prefixes] = [expression.getRegex(), expression.getPrefixList()];
  const searchWindow = options.hasMax() ? options.getMax() : PAGE_SIZE;
  const multiplier = options.getCheckpointintervalmultiplier();
  if (multiplier === 0) throw invalidArgument('The checkpoint interval multiplier is 0');
  return { allows: toPredicate(subject, regex, prefixes), searchWindow, checkpointInterval: searchWindow * multiplier };
}

function toPredicate(subject: 'stream' | 'type', regex: string, prefixes: readonly string[]): Filter['allows'] {
  if (regex === '') return (record) => prefixes.some((prefix) => record[subject].startsWith(prefix));
  const pattern = new RegExp(regex, 'u');
  return (record) => pattern.test(record[subject]);
}
