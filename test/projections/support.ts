import { ETYPES, type EventMetadata, type RecordedEvent } from '../../src/domain/event.js';
import { jobStream, missionStream, taskStream } from '../../src/domain/id.js';
import type { JobFact } from '../../src/domain/job.js';
import type { MissionFact } from '../../src/domain/mission.js';
import type { TaskFact } from '../../src/domain/task.js';
import { BatchFolder, type ChangedRows, type LoadRows } from '../../src/infra/projector/batch-folder.js';
import {
  missions,
  type JobRow,
  type MissionRow,
  type MissionStatsRow,
  type TaskRow,
} from '../../src/projections/missions.js';
import type { AnyRow, Projection } from '../../src/projections/projection.js';
import { metadata } from '../domain/support.js';

export type AnyFact = MissionFact | TaskFact | JobFact;

/** The rows of the missions projection, each table in the order of its keys. */
interface MissionsRows {
  readonly missions: readonly MissionRow[];
  readonly tasks: readonly TaskRow[];
  readonly jobs: readonly JobRow[];
  readonly mission_stats: readonly MissionStatsRow[];
}

/** The content of a projection's file, in memory. */
export class MemoryTables {
  readonly #projection: Projection;
  readonly #tables: ReadonlyMap<string, Map<string, AnyRow>>;

  constructor(projection: Projection) {
    this.#projection = projection;
    this.#tables = new Map(Object.keys(projection.tables).map((table) => [table, new Map()]));
  }

  readonly load: LoadRows = (table, keys) =>
    Promise.resolve(
      keys.flatMap((key) => {
        const row = this.#tables.get(table)?.get(key);
        return row === undefined ? [] : [{ ...row }];
      }),
    );

  write(changed: ChangedRows): void {
    for (const [table, rows] of changed) for (const [key, row] of rows) this.#tables.get(table)?.set(key, row);
  }

  rows(): Record<string, readonly AnyRow[]> {
    return Object.fromEntries(
      Object.entries(this.#projection.tables).map(([name, { key }]) => [
        name,
        [...(this.#tables.get(name)?.values() ?? [])].sort((a, b) => (String(a[key]) < String(b[key]) ? -1 : 1)),
      ]),
    );
  }
}

/** Folds batches one after the other; throws what a handler throws. */
export async function foldBatches(
  projection: Projection,
  batches: readonly (readonly RecordedEvent[])[],
  maxCachedRows?: number,
): Promise<Record<string, readonly AnyRow[]>> {
  const tables = new MemoryTables(projection);
  const folder = new BatchFolder(projection, tables.load, maxCachedRows);
  for (const batch of batches) {
    const { failure } = await folder.fold(batch, new Set());
    if (failure !== undefined) throw failure;
    tables.write(folder.take());
    folder.written();
  }
  return tables.rows();
}

/** The rows that the missions projection folds events into. */
export async function foldMissions(events: readonly RecordedEvent[]): Promise<MissionsRows> {
  return (await foldBatches(missions, [events])) as unknown as MissionsRows;
}

/** Where the n-th event of a history is, from 0: positions have gaps. */
export function placeOf(n: number): bigint {
  return BigInt(n * 10 + 10);
}

/** Facts as a log would hold them: the n-th happened n minutes after noon; revisions count within each stream. */
export class Recorder {
  readonly events: RecordedEvent[] = [];
  readonly #revisions = new Map<string, bigint>();

  record(fact: AnyFact, circumstances: Partial<EventMetadata> = {}): RecordedEvent {
    const n = this.events.length;
    const stream = streamOf(fact);
    const revision = (this.#revisions.get(stream) ?? -1n) + 1n;
    this.#revisions.set(stream, revision);
    const event: RecordedEvent = {
      type: fact.type,
      data: fact.data,
      metadata: { ...metadata(n), ...circumstances },
      id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
      stream,
      revision,
      position: placeOf(n),
      etype: ETYPES[fact.type],
      recordedAt: '2031-12-31T23:59:59.999Z',
    };
    this.events.push(event);
    return event;
  }
}

/** The events of facts, in order. */
export function recorded(...facts: readonly AnyFact[]): readonly RecordedEvent[] {
  const recorder = new Recorder();
  for (const fact of facts) recorder.record(fact);
  return recorder.events;
}

function streamOf({ data }: AnyFact): string {
  if ('jobId' in data) return jobStream(data.jobId);
  return 'taskId' in data ? taskStream(data.taskId) : missionStream(data.missionId);
}
