import { ETYPES, type ReplicatedEvent } from '../../src/domain/event.js';
import { prepareEvents } from './rows.js';

/** The number of streams that the events are distributed over. */
const STREAMS = 100;

/** Events of 512 bytes with their numbers. @param first the number of the first */
export function replicatedEvents(count: number, first = 1): ReplicatedEvent[] {
  return prepareEvents(count, STREAMS).map(({ stream, revision, event, row }, i) => ({
    sequence: first + i,
    event: {
      ...event,
      stream,
      revision: BigInt(revision),
      position: BigInt(row.position),
      etype: ETYPES.JobCompleted,
      recordedAt: event.metadata.at,
    },
  }));
}
