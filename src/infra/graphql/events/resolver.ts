import { Arg, Authorized, Ctx, Int, Query, Resolver, Root, Subscription } from 'type-graphql';
import type { EventFilter as LogFilter } from '../../eventlog/eventlog.js';
import { checkFirst, checkLists } from '../../readmodels/page.js';
import type { ApiContext } from '../kit/context.js';
import { given } from '../kit/inputs.js';
import { PositionScalar } from '../kit/scalars.js';
import { untilReturned } from '../kit/subscribe.js';
import { recordedEvents } from './recorded.js';
import { EventConnection, EventFilter, EventRecord, toEvent } from './types.js';

/** The events of a page unless told. */
const DEFAULT_PAGE = 100;

@Authorized('viewer')
@Resolver()
export class EventQueries {
  @Query(() => EventConnection, { description: 'The log itself, in order.' })
  async events(
    @Arg('after', () => PositionScalar, { nullable: true }) after: string | null | undefined,
    @Arg('first', () => Int, { nullable: true, defaultValue: DEFAULT_PAGE, description: '1–100.' })
    first: number | null | undefined,
    @Arg('filter', () => EventFilter, { nullable: true }) filter: EventFilter | null | undefined,
    @Ctx() { services }: ApiContext,
  ): Promise<EventConnection> {
    const limit = checkFirst(first, DEFAULT_PAGE);
    const from = await services.positionOr(0n, after);
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

  @Subscription(() => EventRecord, {
    description:
      'The log itself: every event that matches after a position, once, in order. Without a position, from now on.',
    subscribe: async ({
      args,
      context: { services },
    }: {
      args: { after?: string; filter?: EventFilter };
      context: ApiContext;
    }) => {
      const filter = logFilter(args.filter);
      const after = await services.positionOr(await services.log.head(), args.after);
      return untilReturned((signal) => recordedEvents(services, after, filter, signal));
    },
  })
  eventRecorded(
    @Root() record: EventRecord,
    @Arg('after', () => PositionScalar, { nullable: true }) _after: string | null,
    @Arg('filter', () => EventFilter, { nullable: true }) _filter: EventFilter | null,
  ): EventRecord {
    return record;
  }
}

function logFilter(filter: EventFilter | null | undefined): LogFilter {
  const { types, categories, streams } = filter ?? {};
  checkLists({ 'filter.types': types, 'filter.categories': categories, 'filter.streams': streams });
  return { types: given(types), categories: given(categories), streams: given(streams) };
}
