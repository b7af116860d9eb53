import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import type { RecordedEvent } from '../../../domain/event.js';
import type { Json } from '../../../domain/json.js';
import { PageInfo } from '../kit/connection.js';
import { make } from '../kit/make.js';
import { DateTimeScalar, JsonScalar, PositionScalar } from '../kit/scalars.js';

@ObjectType({ description: 'The circumstances of an event.' })
export class EventMetadata {
  @Field(() => DateTimeScalar, { description: "The command's time." })
  readonly at!: string;

  @Field(() => String)
  readonly actor!: string;

  @Field(() => String)
  readonly correlationId!: string;

  @Field(() => String)
  readonly causationId!: string;

  @Field(() => Int)
  readonly schemaVersion!: number;
}

@ObjectType({ description: 'Something that happened: the log is made of these.' })
export class Event {
  @Field(() => ID)
  readonly id!: string;

  @Field(() => PositionScalar)
  readonly position!: string;

  @Field(() => String)
  readonly stream!: string;

  @Field(() => Int)
  readonly revision!: number;

  @Field(() => String)
  readonly type!: string;

  @Field(() => Int, { description: 'The number of the type; it never changes meaning.' })
  readonly etype!: number;

  @Field(() => JsonScalar)
  readonly data!: Json;

  @Field(() => EventMetadata)
  readonly metadata!: EventMetadata;

  @Field(() => DateTimeScalar, { description: "The log's clock when it was recorded; informational." })
  readonly recordedAt!: string;
}

@ObjectType({ description: 'An event of the log, with its place.' })
export class EventRecord {
  @Field(() => PositionScalar, { description: 'Give it as `after:` to go on from here.' })
  readonly position!: string;

  @Field(() => Event)
  readonly event!: Event;
}

@ObjectType()
export class EventEdge {
  @Field(() => PositionScalar, { description: 'Give it as `after:` to read on from here.' })
  readonly cursor!: string;

  @Field(() => Event)
  readonly node!: Event;
}

@ObjectType({ description: 'Events in the order of the log. A log is read on, not counted: there is no total.' })
export class EventConnection {
  @Field(() => [EventEdge])
  readonly edges!: readonly EventEdge[];

  @Field(() => PageInfo)
  readonly pageInfo!: PageInfo;
}

@InputType({ description: 'All given conditions must match (AND).' })
export class EventFilter {
  @Field(() => [String], { nullable: true, description: 'Names of event types, such as MissionCreated.' })
  readonly types?: readonly string[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'What stands before the first - of the stream: mission, task, job.',
  })
  readonly categories?: readonly string[] | null;

  @Field(() => [ID], { nullable: true, description: 'Names of streams, such as mission-<id>.' })
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
