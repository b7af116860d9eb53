import type { JsonObject } from './json.js';

/** What happened, without metadata: the result of a decider. */
export interface Fact<Type extends string = string, Data extends object = JsonObject> {
  readonly type: Type;
  readonly data: Data;
}

/** When, by whom and why an event was recorded. */
export interface EventMetadata {
  /** The command's time: ISO 8601, UTC, milliseconds. Folds read this, never the log's own clock. */
  readonly at: string;
  /** The caller: a role (`operator`), a token by its role and fingerprint (`worker:1f2e3d4c`), or a process of Sheratan. */
  readonly actor: string;
  /** Names the request that led to this event. */
  readonly correlationId: string;
  /** Names the direct cause: the command, or the event that a process reacted to. */
  readonly causationId: string;
  /** The version of the shape of `data`; older ones are upcast when read. */
  readonly schemaVersion: number;
  /** Present when the command carried an idempotency key. */
  readonly idempotency?: { readonly key: string; readonly hash: string };
}

/** An event as a command produces it, before it is recorded. */
export interface DomainEvent<Type extends string = string, Data extends object = JsonObject> extends Fact<Type, Data> {
  readonly metadata: EventMetadata;
}

/** An event as a log holds it. */
export interface RecordedEvent<Type extends string = string, Data extends object = JsonObject> extends DomainEvent<
  Type,
  Data
> {
  /** UUID. */
  readonly id: string;
  readonly stream: string;
  /** Number in its stream, from 0, without gaps. */
  readonly revision: bigint;
  /** Place in the total order of its log; gaps are allowed. */
  readonly position: bigint;
  /** The number of the event's type, from 10; it never changes meaning. */
  readonly etype: number;
  /** The log's clock when it was recorded, ISO 8601. Informational: it differs between copies of a log. */
  readonly recordedAt: string;
}

/** Every event type with its number. The numbers are shared with hosts and older systems: they never change meaning. */
export const ETYPES = {
  MissionCreated: 10,
  MissionUpdated: 11,
  TaskCreated: 12,
  TaskUpdated: 13,
  JobCreated: 14,
  JobDispatched: 15,
  JobCompleted: 16,
  JobFailed: 17,
  MissionClosed: 18,
  JobCancelled: 19,
  ReplicationPolicySet: 20,
  HostStateChanged: 21,
  ReplicasAcknowledged: 22,
  KeyRotated: 23,
  RetentionBudgetSet: 24,
  EventsEvicted: 25,
  WindowCompacted: 26,
  LedgerBlockSealed: 27,
  TransferProposed: 28,
  TransferFinalized: 29,
  PayloadStored: 30,
  // Known by name only, so that a history that a newer build wrote can be stored and numbered.
  JobLeaseExtended: 31,
  JobReleased: 32,
  JobReadied: 33,
  JobRetried: 34,
  QueuePolicySet: 35,
  ScheduleSet: 36,
  ScheduleRemoved: 37,
  HistoryHole: 38,
} as const;

/** The name of an event type in the catalogue. */
export type EventType = keyof typeof ETYPES;

/** Whether a name is in the catalogue. */
export function isEventType(name: string): name is EventType {
  return Object.hasOwn(ETYPES, name);
}

/** The first and last number of the types that are known by name only. */
const [FIRST_NAME, LAST_NAME] = [ETYPES.JobLeaseExtended, ETYPES.ScheduleRemoved];

/** Whether this build knows what events of a type mean. */
export function isReadable(type: string): boolean {
  return isEventType(type) && (ETYPES[type] < FIRST_NAME || ETYPES[type] > LAST_NAME);
}

/** The types of local events: they describe only this copy of the log, so they are never replicated. */
const LOCAL_TYPES: ReadonlySet<string> = new Set<EventType>(['ReplicasAcknowledged', 'EventsEvicted']);

/** The lowest number of an event type; 0 marks a row that no longer holds an event. */
const FIRST_ETYPE = 10;

/**
 * Whether an event is replicated to hosts. Replicated events have the sequences 1, 2, 3 … in log order. Only this function
 * decides which sequence an event has: its data, and whether this build knows its type, do not matter.
 */
export function isReplicated({ type, etype }: { readonly type: string; readonly etype: number }): boolean {
  return etype >= FIRST_ETYPE && !LOCAL_TYPES.has(type);
}

/** The categories of streams: the part of a stream's name before the first `-`. */
export const CATEGORIES = [
  'mission',
  'task',
  'job',
  'replication',
  'keyring',
  'retention',
  'compaction',
  'ledger',
  'wallet',
  'asset',
  'queue',
  'schedule',
] as const;

/** The name of a category in the catalogue. */
export type Category = (typeof CATEGORIES)[number];

const KNOWN_CATEGORIES: ReadonlySet<string> = new Set(CATEGORIES);

/** Whether a name is a category of the catalogue. */
export function isCategory(name: string): boolean {
  return KNOWN_CATEGORIES.has(name);
}

/** The category of the streams that hold the events of each type. */
const CATEGORY_OF_TYPE: Readonly<Record<EventType, Category>> = {
  MissionCreated: 'mission',
  MissionUpdated: 'mission',
  MissionClosed: 'mission',
  TaskCreated: 'task',
  TaskUpdated: 'task',
  JobCreated: 'job',
  JobDispatched: 'job',
  JobCompleted: 'job',
  JobFailed: 'job',
  JobCancelled: 'job',
  JobLeaseExtended: 'job',
  JobReleased: 'job',
  JobReadied: 'job',
  JobRetried: 'job',
  ReplicationPolicySet: 'replication',
  HostStateChanged: 'replication',
  ReplicasAcknowledged: 'replication',
  KeyRotated: 'keyring',
  RetentionBudgetSet: 'retention',
  EventsEvicted: 'retention',
  WindowCompacted: 'compaction',
  LedgerBlockSealed: 'ledger',
  TransferProposed: 'wallet',
  TransferFinalized: 'wallet',
  PayloadStored: 'asset',
  QueuePolicySet: 'queue',
  ScheduleSet: 'schedule',
  ScheduleRemoved: 'schedule',
  HistoryHole: 'replication',
};

/** The category of the streams that hold events of a type; a HistoryHole may be in a stream of any category. */
export function categoryOfType(type: EventType): Category {
  return CATEGORY_OF_TYPE[type];
}

/** The category of a stream: the part of its name before the first `-`, or the complete name without one. */
export function categoryOf(stream: string): string {
  const dash = stream.indexOf('-');
  return dash < 0 ? stream : stream.slice(0, dash);
}

/** A replicated event with its sequence: 1, 2, 3 … in log order. */
export interface ReplicatedEvent {
  readonly sequence: number;
  readonly event: RecordedEvent;
}
