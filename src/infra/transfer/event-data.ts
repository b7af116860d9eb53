import { z } from 'zod';
import { categoryOf, categoryOfType, isEventType, isReadable, type EventType } from '../../domain/event.js';
import { jobStream, missionStream, taskStream } from '../../domain/id.js';
import type { JsonObject } from '../../domain/json.js';
import { OUTCOMES } from '../../domain/mission.js';
import { NewerEventError } from '../../domain/newer-event.js';
import { HOST_STATES, PROOF_KINDS } from '../../domain/replication.js';
import { upcast } from '../../domain/upcast.js';
import type { ExportedEvent } from './exported-event.js';
import { LineError, reasonOf } from './import-report.js';
import { timestamp } from './timestamp.js';

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

const host = z.object({ host: text, url: text, verifyKey: text, weight: whole, confirmed: z.boolean() });
const signed = z.tuple([text, text]);
const counted = z.object({ line: whole, epoch: whole, quorum: whole, signed });
const acknowledged = z.object({ host: text, sequence: whole, head: counted.nullable() });
const proof = z.object({ kind: z.enum(PROOF_KINDS), head: signed, against: signed.nullable() });

/** What today's events of a type say: one for each type that a read model folds. */
const SHAPES: Partial<Record<EventType, z.ZodType>> = {
  MissionCreated: z.object({ missionId: text, ...missionFields }),
  MissionUpdated: z.object({ missionId: text, ...z.object(missionFields).partial().shape }),
  MissionClosed: z.object({ missionId: text, outcome: z.enum(OUTCOMES), reason: text }),
  TaskCreated: z.object({ ...taskRef, ...taskFields }),
  TaskUpdated: z.object({ ...taskRef, ...z.object(taskFields).partial().shape }),
  JobCreated: z.object({ ...jobRef, kind: text, payload: object, priority: whole, maxAttempts: whole }),
  JobDispatched: z.object({ ...jobRef, worker: text, attempt: whole, leaseExpiresAt: timestamp }),
  JobCompleted: z.object({ ...jobRef, worker: text, attempt: whole, result: json, cost: z.number().optional() }),
  JobFailed: z.object({ ...jobRef, attempt: whole, reason: text, message: text, retryable: z.boolean() }),
  JobCancelled: z.object({ ...jobRef, reason: text }),
  ReplicationPolicySet: z.object({
    origin: text,
    version: whole,
    required: whole,
    hosts: z.array(host),
    line: whole.optional(),
    holes: z.array(whole).optional(),
  }),
  HostStateChanged: z.object({
    origin: text,
    host: text,
    state: z.enum(HOST_STATES),
    sequence: whole,
    why: text,
    proof: proof.optional(),
  }),
  ReplicasAcknowledged: z.object({
    origin: text,
    policyVersion: whole,
    writerEpoch: whole,
    line: whole,
    hosts: z.array(acknowledged),
    quorumSequence: whole,
    quorumEpoch: whole,
    elected: z.object({ line: whole, epoch: whole, base: whole }).optional(),
    restored: z.boolean().optional(),
    dishonestWeight: whole.optional(),
  }),
  HistoryHole: z.object({ origin: text, sequence: whole, etype: whole, ts: whole, eid: text }),
  KeyRotated: z.object({ origin: text, keyEpoch: whole, keyId: text, rootKeyId: text, wrappedKey: text }),
};

/**
 * What describes one installation: which hosts it has, what they have signed for, its keys, its budget, its windows. None of
 * it is true of another one, which finds out for itself.
 */
const OWN_CATEGORIES: ReadonlySet<string> = new Set(['replication', 'keyring', 'retention', 'compaction']);

/** Whether an import sets an event aside: it describes the installation that it was exported from. */
export function isOfInstallation({ stream }: ExportedEvent): boolean {
  return OWN_CATEGORIES.has(categoryOf(stream));
}

/**
 * Refuses an event that says other things than its type does, or says them in the wrong place: once in the log, it would
 * halt every read model for good. @throws LineError
 */
export function assertFoldable({ stream, revision, event }: ExportedEvent): void {
  const { type } = event;
  // A hole is in the stream of the event that it stands for.
  if (type !== 'HistoryHole' && isEventType(type) && categoryOfType(type) !== categoryOf(stream))
    throw new LineError(`'${stream}' is not the stream this ${type} is of`);
  if (!isReadable(type)) throw new LineError(`NEWER_EVENT: ${new NewerEventError(event).message}`);
  const { data } = upcastLine(event);
  const result = SHAPES[type as EventType]?.safeParse(data);
  if (result?.success === false) throw new LineError(reasonOf(result.error, 'data'));
  if (type === 'HistoryHole' && revision === 0n)
    throw new LineError(`the event that began '${stream}' is lost: nothing that follows it there can be folded`);
  if (!isOfCommands(type)) return;
  if (stream !== streamOf(type, data)) throw new LineError(`'${stream}' is not the stream this ${type} is of`);
  if (event.type.endsWith('Created') !== (revision === 0n)) {
    throw new LineError(`'${stream}' cannot have a ${event.type} at revision ${revision}`);
  }
}

/** @throws LineError when a newer build wrote it */
function upcastLine(event: ExportedEvent['event']): ExportedEvent['event'] {
  try {
    return upcast(event);
  } catch (error) {
    if (error instanceof NewerEventError) throw new LineError(`${error.code}: ${error.message}`);
    throw error;
  }
}

/** Whether the streams of a type are named after a mission, a task or a job. */
function isOfCommands(type: string): boolean {
  return /^(Mission|Task|Job)/.test(type) && Object.hasOwn(SHAPES, type);
}

/** The stream of an event whose data is as it must be. */
function streamOf(type: string, data: JsonObject): string {
  const { missionId = '', taskId = '', jobId = '' } = data as Readonly<Record<string, string>>;
  if (type.startsWith('Mission')) return missionStream(missionId);
  return type.startsWith('Task') ? taskStream(taskId) : jobStream(jobId);
}
