import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import type { RecordedEvent } from '../../../domain/event.js';
import type { Json } from '../../../domain/json.js';
import { PAGE_INFO, PageInfo } from '../kit/connection.js';
import { make } from '../kit/make.js';
import { DateTimeScalar, JsonScalar, PositionScalar } from '../kit/scalars.js';

@ObjectType({ description: 'This object shows when, by whom and because of what an event was recorded.' })
export class EventMetadata {
  @Field(() => DateTimeScalar, { description: 'This is the time of the command.' })
  readonly at!: string;

  @Field(() => String, {
    description:
      'This identifies who issued the command: a role (`operator`), a token by its role and fingerprint (`worker:1f2e3d4c`), or a process of the core.',
  })
  readonly actor!: string;

  @Field(() => String, { description: 'This identifies the request that led to the event.' })
  readonly correlationId!: string;

  @Field(() => String, {
    description: 'This identifies the direct cause: the command, or the event to which a process reacted.',
  })
  readonly causationId!: string;

  @Field(() => Int, { description: 'This is the version of the shape of `data`.' })
  readonly schemaVersion!: number;
}

@ObjectType({
  description: 'An Event records something that happened. The log consists of events, and an event never changes.',
})
export class Event {
  @Field(() => ID, { description: 'This UUID identifies the event.' })
  readonly id!: string;

  @Field(() => PositionScalar, { description: 'This is the position of the event in the log.' })
  readonly position!: string;

  @Field(() => String, { description: 'The event belongs to the stream with this name, such as `mission-<id>`.' })
  readonly stream!: string;

  @Field(() => Int, { description: 'This is the number of the event in its stream, from 0 without gaps.' })
  readonly revision!: number;

  @Field(() => String, { description: 'This is the name of the type of the event, such as MissionCreated.' })
  readonly type!: string;

  @Field(() => Int, { description: 'This is the number of the type of the event, from 10; its meaning never changes.' })
  readonly etype!: number;

  @Field(() => JsonScalar, { description: 'This is the content of the event; its shape depends on the type.' })
  readonly data!: Json;

  @Field(() => EventMetadata, { description: 'This shows when, by whom and because of what the event was recorded.' })
  readonly metadata!: EventMetadata;

  @Field(() => DateTimeScalar, {
    description:
      'This is the time of the clock of the log when it recorded the event. It is informational: it differs between copies of a log.',
  })
  readonly recordedAt!: string;
}

@ObjectType({ description: 'This object describes the log of this core.' })
export class Log {
  @Field(() => ID, { description: 'This identifies the log: its positions begin with it.' })
  readonly id!: string;

  @Field(() => PositionScalar, { description: 'This is the position of the last event.' })
  readonly head!: string;

  @Field(() => String, {
    nullable: true,
    description:
      'This is the version of the server that has the log, such as 24.10.14. It is null for a log in a file, and when the server does not say it.',
  })
  readonly serverVersion!: string | null;
}

@ObjectType({ description: 'This object holds an event of a subscription, and its position.' })
export class EventRecord {
  @Field(() => PositionScalar, {
    description: 'A subscription with this position as `after:` continues after this event.',
  })
  readonly position!: string;

  @Field(() => Event, { description: 'This is the event.' })
  readonly event!: Event;
}

@ObjectType({ description: 'This object holds one event of a page, and its cursor.' })
export class EventEdge {
  @Field(() => PositionScalar, {
    description: 'This cursor, passed as `after`, returns the events that follow this one.',
  })
  readonly cursor!: string;

  @Field(() => Event, { description: 'This is the event at the cursor.' })
  readonly node!: Event;
}

@ObjectType({
  description:
    'This object is one page of the events of the log, in order. It has no total: the events of a log are not counted.',
})
export class EventConnection {
  @Field(() => [EventEdge], { description: 'These are the events of the page, in the order of the log.' })
  readonly edges!: readonly EventEdge[];

  @Field(() => PageInfo, { description: PAGE_INFO })
  readonly pageInfo!: PageInfo;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class EventFilter {
  @Field(() => [String], {
    nullable: true,
    description: 'The event has one of these types, such as MissionCreated; at most 100. The default is any.',
  })
  readonly types?: readonly string[] | null;

  @Field(() => [String], {
    nullable: true,
    description:
      'The stream of the event is in one of these categories, such as mission, task or job: the part of its name before the first `-`; at most 100. The default is any.',
  })
  readonly categories?: readonly string[] | null;

  @Field(() => [ID], {
    nullable: true,
    description: 'The event belongs to one of these streams, such as `mission-<id>`; at most 100. The default is any.',
  })
  readonly streams?: readonly string[] | null;
}

/** An event as the API shows it. */
export function toEvent(event: RecordedEvent, token: (position: bigint) => string): Event {
  const { id, stream, revision, position, type, etype, data, metadata, recordedAt } = event;
  return make(Event, {
    id,
    stream,
    revision: Number(revision),
    position: token(position),
    type,
    etype,
    data,
    metadata,
    recordedAt,
  });
}
