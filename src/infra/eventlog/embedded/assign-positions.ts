import { type LogError, WrongExpectedRevision } from '../errors.js';
import type { AppendResult, ExpectedRevision } from '../eventlog.js';
import { rowJson, type EncodedEvent } from './event-row.js';

/** Encoded events, and the state that their stream must have. */
export interface EncodedAppend {
  readonly stream: string;
  readonly events: readonly EncodedEvent[];
  readonly expected: ExpectedRevision;
}

/** The head of a stream that does not exist; the head of any other is the revision of its last event. */
export const NO_STREAM = -1;

/** The places assigned to the appends of one call. */
export interface AssignedPositions {
  /** Rows as JSON arrays, in the order of the columns. */
  readonly rows: readonly string[];
  /** The heads of the streams after the appends. */
  readonly heads: ReadonlyMap<string, number>;
  readonly last: AppendResult;
}

/** Assigns positions and revisions to the appends of a call, after a position. Returns the error if one is refused. */
export function assignPositions(
  appends: readonly EncodedAppend[],
  headOf: (stream: string) => number,
  after: number,
  recorded_at: string,
): AssignedPositions | LogError {
  const rows: string[] = [];
  const heads = new Map<string, number>();
  let revision = -1;
  for (const { stream, events, expected } of appends) {
    const head = heads.get(stream) ?? headOf(stream);
    const refused = refusal(stream, head, expected);
    if (refused !== undefined) return refused;
    revision = head;
    for (const event of events) {
      revision += 1;
      rows.push(rowJson(event, { position: after + rows.length + 1, stream, revision, recorded_at }));
    }
    heads.set(stream, revision);
  }
  return { rows, heads, last: { revision: BigInt(revision), position: BigInt(after + rows.length) } };
}

/** The reason why an append may not follow a head, if any. */
function refusal(stream: string, head: number, expected: ExpectedRevision): LogError | undefined {
  const actual = BigInt(head);
  switch (expected) {
    case 'any':
      return undefined;
    case 'no-stream':
      return actual < 0n ? undefined : new WrongExpectedRevision(stream, expected, actual);
    case 'exists':
      return actual >= 0n ? undefined : new WrongExpectedRevision(stream, expected, actual);
    default:
      return actual === expected ? undefined : new WrongExpectedRevision(stream, expected, actual);
  }
}
