import { ETYPES, type DomainEvent } from '../../src/domain/event.js';
import { canonicalJson } from '../../src/infra/eventlog/canonical-json.js';
import { checksumOf, type EventRow } from '../../src/infra/eventlog/embedded/event-row.js';
import type { NewEvent } from '../../src/infra/eventlog/eventlog.js';
import { Random } from './random.js';

/** An event for a stream, and the row that it must become. */
export interface Prepared {
  readonly stream: string;
  readonly revision: number;
  readonly event: NewEvent;
  readonly row: EventRow;
}

/** Bytes of data and metadata, as stored. */
const EVENT_BYTES = 512;
const START_MS = Date.UTC(2026, 0, 1);

/** `count` events of 512 bytes, distributed over `streams` streams in turn, with the rows that they become. */
export function prepareEvents(count: number, streams: number): Prepared[] {
  const random = new Random(7);
  const names = Array.from({ length: streams }, () => random.uuid(START_MS));
  return Array.from({ length: count }, (_, i) => {
    const jobId = names[i % streams] ?? '';
    const event = sizedEvent(random, jobId, START_MS + i);
    const place = { position: i + 1, stream: `job-${jobId}`, revision: Math.floor(i / streams) };
    const row = { ...place, id: event.id, type: event.type, etype: ETYPES.JobCompleted, ...stored(event) };
    return { stream: place.stream, revision: place.revision, event, row: { ...row, checksum: checksumOf(row) } };
  });
}

function stored({ data, metadata }: DomainEvent) {
  return { data: canonicalJson(data), metadata: canonicalJson(metadata), recorded_at: metadata.at };
}

function sizedEvent(random: Random, jobId: string, ms: number): NewEvent {
  const result = { attempt: 1, detections: [random.below(1_000), random.below(1_000)], ok: true, note: '' };
  const data = { jobId, missionId: random.uuid(ms), taskId: random.uuid(ms), worker: 'edge-07', attempt: 1, result };
  const metadata = {
    at: new Date(ms).toISOString(),
    actor: 'worker',
    correlationId: random.uuid(ms),
    causationId: random.uuid(ms),
    schemaVersion: 1,
  };
  const missing = EVENT_BYTES - canonicalJson(data).length - canonicalJson(metadata).length;
  const note = random.hex(missing);
  return {
    id: random.uuid(ms),
    type: 'JobCompleted',
    data: { ...data, result: { ...result, note } },
    metadata,
  };
}
