import { z } from 'zod';
import { categoryOf, categoryOfType, isEventType, isReadable, type EventType } from '../../domain/event.js';
import { jobStream, missionStream, taskStream } from '../../domain/id.js';
import { isJsonObject, type JsonObject } from '../../domain/json.js';
import { OUTCOMES } from '../../domain/mission.js';
import { NewerEventError } from '../../domain/newer-event.js';
import { HOST_STATES, PROOF_KINDS } from '../../domain/replication.js';
import { upcast } from '../../domain/upcast.js';
import type { ExportedEvent } from './exported-event.js';
import { LineError, reasonOf } from './import-report.js';
import { timestamp } from './timestamp.js';

const text = z.string('must be text');
const whole = z.int('must be a whole number');
const object = z.custom<JsonObject>(isJsonObject, 'must be a JSON object');
const json = z.custom((value) => value !== undefined, 'is required');

const missionFields = { title: text, description: text, metadata: object, tags: z.array(text) };
const taskFields = { name: text, description: text, kind: text, params: object };
const taskRef = { taskId: text, missionId: text };
const jobRef = { jobId: text, ...taskRef };

const host = z.object({ host: text, url: text, verifyKey: text, weight: whole, confirmed: z.boolean() });
const signed = z.tuple([text, text]);
const counted = z.object({ line: whole, epoch: whole, quorum: whole, signed });
const acknowledged = z.object({ host: text, sequence: whole, head: counted.nullable() });
const proof = z.object({ kind: z.enum(PROOF_KINDS), head: signed, against: signed.nullable() });

/** The data of events in their current schema version, for each type that a read model folds. */
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
 * Categories of events that describe one installation: its hosts, what they have signed for, its keys, budget and windows.
 * They do not apply to another installation, which records its own.
 */
const OWN_CATEGORIES: ReadonlySet<string> = new Set(['replication', 'keyring', 'retention', 'compaction']);

/** Whether an event describes the installation that exported it, so that an import sets it aside. */
export function isOfInstallation({ stream }: ExportedEvent): boolean {
  return OWN_CATEGORIES.has(categoryOf(stream));
}

/**
 * Refuses an event whose data does not fit its type, or that is in the wrong stream or at the wrong revision: in the log,
 * it would halt every read model permanently. @throws LineError
 */
export function assertFoldable({ stream, revision, event }: ExportedEvent): void {
  const { type } = event;
  // A hole is in the stream of the event that it replaces.
  if (type !== 'HistoryHole' && isEventType(type) && categoryOfType(type) !== categoryOf(stream))
    throw new LineError(`'${stream}' is not the stream of this ${type}`);
  if (!isReadable(type)) throw new LineError(`NEWER_EVENT: ${new NewerEventError(event).message}`);
  const { data } = upcastLine(event);
  const result = SHAPES[type as EventType]?.safeParse(data);
  if (result?.success === false) throw new LineError(reasonOf(result.error, 'data'));
  if (type === 'HistoryHole' && revision === 0n)
    throw new LineError(`the first event of '${stream}' is lost: the events after it in the stream cannot be folded`);
  if (!isOfCommands(type)) return;
  if (stream !== streamOf(type, data)) throw new LineError(`'${stream}' is not the stream of this ${type}`);
  if (event.type.endsWith('Created') !== (revision === 0n)) {
    throw new LineError(`'${stream}' cannot have a ${event.type} at revision ${revision}`);
  }
}

/** Brings an event to its current schema version. @throws LineError when a newer build wrote it */
function upcastLine(event: ExportedEvent['event']): ExportedEvent['event'] {
  try {
    return upcast(event);
  } catch (error) {
    if (error instanceof NewerEventError) throw new LineError(`${error.code}: ${error.message}`);
    throw error;
  }
}

/** Whether events of a type belong to the stream of a mission, task or job. */
function isOfCommands(type: string): boolean {
  return /^(Mission|Task|Job)/.test(type) && Object.hasOwn(SHAPES, type);
}

/** The stream of an event with valid data. */
function streamOf(type: string, data: JsonObject): string {
  const { missionId = '', taskId = '', jobId = '' } = data as Readonly<Record<string, string>>;
  if (type.startsWith('Mission')) return missionStream(missionId);
  return type.startsWith('Task') ? taskStream(taskId) : jobStream(jobId);
}
