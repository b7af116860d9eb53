import { pino } from 'pino';
import { readAddress } from '../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../src/infra/eventlog/eventstore/eventstore-log.js';
import { EventCodec } from '../../src/infra/eventlog/eventstore/event-codec.js';
import { ETYPES, type EventType } from '../../src/domain/event.js';
import { StandIn } from '../../test/support/eventstore/stand-in.js';
import { historyRows } from './history.js';
import type { ReplaySource } from './replay.js';

/**
 * Runs `work` with a stand-in for an EventStoreDB server, in this process, that holds a history of at least `count`
 * events, exactly as our log and the client would have written them.
 */
export async function withHistory<R>(count: number, work: (log: ReplaySource) => Promise<R>): Promise<R> {
  const standIn = await StandIn.start();
  try {
    // A log begins with the record of its name.
    await (await EventStoreLog.open(readAddress(standIn.url), pino({ level: 'error' }))).close();
    let events = 0;
    for (const rows of historyRows(count)) {
      standIn.store.seed(rows.map(({ stream, type, ...row }) => stored(stream, { ...row, type: type as EventType })));
      events += rows.length;
    }
    return await work({ place: standIn.url, events });
  } finally {
    await standIn.stop();
  }
}

const records = new EventCodec('');

function stored(stream: string, event: { id: string; type: EventType; data: string; metadata: string }) {
  const { id, type, data, metadata } = records.toServer({ ...event, etype: ETYPES[event.type], bytes: 0 });
  return { stream: records.streamName(stream), id, type, isJson: true, data: json(data), metadata: json(metadata) };
}

/** As the client writes it. */
function json(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value));
}
