import { ETYPES } from '../../src/domain/event.js';
import type { NumberedEvent } from '../../src/infra/offgrid/replicator/ports.js';
import { prepareEvents } from './rows.js';

/** Streams that the events are dealt out to. */
const STREAMS = 100;

/** Events of 512 bytes with their numbers. */
export function travelling(count: number): NumberedEvent[] {
  return prepareEvents(count, STREAMS).map(({ stream, revision, event, row }, i) => ({
    sequence: i + 1,
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
