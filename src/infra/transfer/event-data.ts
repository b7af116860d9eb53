import { z } from 'zod';
import type { EventType, RecordedEvent } from '../../domain/event.js';
import { jobStream, missionStream, taskStream } from '../../domain/id.js';
import type { JsonObject } from '../../domain/json.js';
import { OUTCOMES } from '../../domain/mission.js';
import { upcast } from '../../domain/upcast.js';
import type { ExportedEvent } from './exported-event.js';
import { LineError, reasonOf } from './import-report.js';
import { instant } from './instant.js';

const text = z.string('must be text');
const whole = z.int('must be a whole number');
const object = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be a JSON object',
);
const json = z.custom((value) => value !== undefined, 'must be there');

const missionFields = { title: text, description: text, metadata: object, tags: z.array(text) };
const taskFields = { name: text, description: text, kind: text, params: object };
const taskRef = { taskId: text, missionId: text };
const jobRef = { jobId: text, ...taskRef };

/** What today's events of a type say. Types that no read model folds yet are not judged. */
const SHAPES: Partial<Record<EventType, z.ZodType>> = {
  MissionCreated: z.object({ missionId: text, ...missionFields }),
  MissionUpdated: z.object({ missionId: text, ...z.object(missionFields).partial().shape }),
  MissionClosed: z.object({ missionId: text, outcome: z.enum(OUTCOMES), reason: text }),
  TaskCreated: z.object({ ...taskRef, ...taskFields }),
  TaskUpdated: z.object({ ...taskRef, ...z.object(taskFields).partial().shape }),
  JobCreated: z.object({ ...jobRef, kind: text, payload: object, priority: whole, maxAttempts: whole }),
  JobDispatched: z.object({ ...jobRef, worker: text, attempt: whole, leaseExpiresAt: instant }),
  JobCompleted: z.object({ ...jobRef, worker: text, attempt: whole, result: json, cost: z.number().optional() }),
  JobFailed: z.object({ ...jobRef, attempt: whole, reason: text, message: text, retryable: z.boolean() }),
  JobCancelled: z.object({ ...jobRef, reason: text }),
};

/**
 * Refuses an event that says other things than its type does, or says them in the wrong place: once in the log, it would
 * halt every read model for good. @throws LineError
 */
export function assertFoldable({ stream, revision, event }: ExportedEvent): void {
  const shape = SHAPES[event.type as EventType];
  if (shape === undefined) return;
  const { data } = upcast(event as RecordedEvent);
  const result = shape.safeParse(data);
  if (!result.success) throw new LineError(reasonOf(result.error, 'data'));
  if (stream !== streamOf(event.type, data))
    throw new LineError(`'${stream}' is not the stream this ${event.type} is of`);
  if (event.type.endsWith('Created') !== (revision === 0n)) {
    throw new LineError(`'${stream}' cannot have a ${event.type} at revision ${revision}`);
  }
}

/** The stream of an event whose data is as it must be. */
function streamOf(type: string, data: JsonObject): string {
  const { missionId = '', taskId = '', jobId = '' } = data as Readonly<Record<string, string>>;
  if (type.startsWith('Mission')) return missionStream(missionId);
  return type.startsWith('Task') ? taskStream(taskId) : jobStream(jobId);
}
