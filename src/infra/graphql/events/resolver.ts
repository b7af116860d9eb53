import { Arg, Authorized, Ctx, Int, Query, Resolver, Root, Subscription } from 'type-graphql';
import type { EventFilter as LogFilter } from '../../eventlog/eventlog.js';
import { checkFirst, checkLists } from '../../readmodels/page.js';
import { describeFirst } from '../kit/connection.js';
import type { ApiContext } from '../kit/context.js';
import { given } from '../kit/inputs.js';
import { make } from '../kit/make.js';
import { AFTER_ARG, PositionScalar } from '../kit/scalars.js';
import { untilReturned } from '../kit/subscribe.js';
import { recordedEvents } from './recorded.js';
import { EventConnection, EventFilter, EventRecord, Log, toEvent } from './types.js';

/** The number of events of a page by default. */
const DEFAULT_PAGE = 100;

/** The `filter` of events, as an argument. */
const FILTER_ARG = {
  nullable: true,
  description: 'Only events that match this filter are returned. The default is every event.',
} as const;

/** Queries and a subscription for the log and its events. */
@Authorized('viewer')
@Resolver()
export class EventQueries {
  @Query(() => EventConnection, { description: 'This returns the events of the log, in order.' })
  async events(
    @Arg('after', () => PositionScalar, {
      nullable: true,
      description: 'The page begins after this position. The default is the beginning of the log.',
    })
    after: string | null | undefined,
    @Arg('first', () => Int, { nullable: true, defaultValue: DEFAULT_PAGE, description: describeFirst(DEFAULT_PAGE) })
    first: number | null | undefined,
    @Arg('filter', () => EventFilter, FILTER_ARG) filter: EventFilter | null | undefined,
    @Ctx() { services }: ApiContext,
  ): Promise<EventConnection> {
    const limit = checkFirst(first, DEFAULT_PAGE);
    const from = await services.readAfter(after, 0n);
    const edges = [];
    for await (const event of services.log.readAll({ after: from, filter: logFilter(filter), limit: limit + 1 })) {
      edges.push({
        cursor: services.token(event.position),
        node: toEvent(event, (position) => services.token(position)),
      });
    }
    const page = edges.slice(0, limit);
    return { edges: page, pageInfo: { hasNextPage: edges.length > limit, endCursor: page.at(-1)?.cursor ?? null } };
  }

  @Query(() => Log, { description: 'This describes the log of this core.' })
  async log(@Ctx() { services }: ApiContext): Promise<Log> {
    const [head, serverVersion] = await Promise.all([services.log.head(), services.log.serverVersion()]);
    return make(Log, { id: services.log.logId, head: services.token(head), serverVersion: serverVersion ?? null });
  }

  @Subscription(() => EventRecord, {
    description:
      'This returns every event of the log that matches, exactly once and in order, beginning after a position or now.',
    subscribe: async ({
      args,
      context: { services },
    }: {
      args: { after?: string; filter?: EventFilter };
      context: ApiContext;
    }) => {
      const filter = logFilter(args.filter);
      const after = await services.readAfter(args.after, await services.log.head());
      return untilReturned((signal) => recordedEvents(services, after, filter, signal));
    },
  })
  eventRecorded(
    @Root() record: EventRecord,
    @Arg('after', () => PositionScalar, AFTER_ARG) _after: string | null,
    @Arg('filter', () => EventFilter, FILTER_ARG) _filter: EventFilter | null,
  ): EventRecord {
    return record;
  }
}

function logFilter(filter: EventFilter | null | undefined): LogFilter {
  const { types, categories, streams } = filter ?? {};
  checkLists({ 'filter.types': types, 'filter.categories': categories, 'filter.streams': streams });
  return { types: given(types), categories: given(categories), streams: given(streams) };
}
