import type { ExpressionBuilder, Kysely, ReferenceExpression, SelectQueryBuilder } from 'kysely';
import { ArgsType, Field, Int, ObjectType, type ClassType } from 'type-graphql';
import type { MissionsDatabase } from '../../readmodels/missions/database.js';
import { apiError } from './errors.js';

/** The largest page. */
export const MAX_PAGE = 100;
/** The size of a page unless one is asked for. */
export const DEFAULT_PAGE = 20;

/** What pages are read from. */
export interface PageSource {
  readonly db: Kysely<MissionsDatabase>;
  readonly log: { readonly logId: string };
}

/** Where a page of a connection ends. */
@ObjectType()
export class PageInfo {
  @Field(() => Boolean)
  readonly hasNextPage!: boolean;

  @Field(() => String, { nullable: true, description: 'Give it as `after` to read on.' })
  readonly endCursor!: string | null;
}

/** Which page of a connection is asked for. */
export interface PageRequest {
  /** 20 unless given. */
  readonly first?: number | null;
  readonly after?: string | null;
}

/** The arguments of a connection. */
@ArgsType()
export class PageArgs implements PageRequest {
  @Field(() => Int, { nullable: true, defaultValue: DEFAULT_PAGE, description: '1–100.' })
  readonly first?: number | null;

  @Field(() => String, { nullable: true, description: 'The cursor to read on after.' })
  readonly after?: string | null;
}

/** A page of a connection, and how to count what it is a page of. */
export interface Page<N> {
  readonly edges: readonly { readonly cursor: string; readonly node: N }[];
  readonly pageInfo: PageInfo;
  readonly count: () => Promise<number>;
}

/** The types of a connection over a node type: `<Name>Connection` and `<Name>Edge`. */
export function connectionOf<N extends object>(name: string, node: ClassType<N>): ClassType<Page<N>> {
  @ObjectType(`${name}Edge`)
  class Edge {
    @Field(() => String)
    readonly cursor!: string;

    @Field(() => node)
    readonly node!: N;
  }

  @ObjectType(`${name}Connection`)
  class Connection {
    @Field(() => [Edge])
    readonly edges!: Edge[];

    @Field(() => PageInfo)
    readonly pageInfo!: PageInfo;

    readonly count!: () => Promise<number>;

    @Field(() => Int, { description: 'How many there are in all; counted when asked for.' })
    totalCount(): Promise<number> {
      return this.count();
    }
  }

  return Connection;
}

/** The size of a page, and a refusal of one outside 1–100. @throws GraphQLError BAD_USER_INPUT */
export function checkFirst(given: number | null | undefined, otherwise: number): number {
  const first = given ?? otherwise;
  if (Number.isInteger(first) && first >= 1 && first <= MAX_PAGE) return first;
  throw apiError(
    'BAD_USER_INPUT',
    `first must be 1–${MAX_PAGE}; it is ${first}. Use pageInfo.endCursor as after to read on.`,
  );
}

/** What rows are ordered by: newest first, and by id where times are equal. It never changes, so cursors stay good. */
interface Ordered {
  readonly id: string;
  readonly created_at: string;
}

/**
 * Reads a page, newest first. A cursor names the row it follows, not a count, so rows added meanwhile shift nothing; and
 * it names its log and table, so that one of another connection is refused rather than read as a place here.
 * @throws GraphQLError BAD_USER_INPUT, CURSOR_INVALID
 */
export async function readPage<DB, TB extends keyof DB & string, R extends Ordered, N>(
  query: SelectQueryBuilder<DB, TB, R>,
  { logId, table }: { readonly logId: string; readonly table: TB },
  { first, after }: PageRequest,
  toNode: (row: R) => N,
): Promise<Page<N>> {
  const limit = checkFirst(first, DEFAULT_PAGE);
  const scope = `${logId} ${table}`;
  const createdAt = `${table}.created_at` as ReferenceExpression<DB, TB>;
  const id = `${table}.id` as ReferenceExpression<DB, TB>;
  let page = query
    .orderBy(createdAt, 'desc')
    .orderBy(id, 'desc')
    .limit(limit + 1);
  if (after !== null && after !== undefined) {
    const [time, key] = readCursor(scope, after);
    page = page.where((eb: ExpressionBuilder<DB, TB>) =>
      eb(eb.refTuple(createdAt as never, id as never) as never, '<', eb.tuple(time, key) as never),
    );
  }
  const rows = await page.execute();
  const edges = rows.slice(0, limit).map((row) => ({ cursor: cursorOf(scope, row), node: toNode(row) }));
  return {
    edges,
    pageInfo: { hasNextPage: rows.length > limit, endCursor: edges.at(-1)?.cursor ?? null },
    count: async () => {
      const counted = query.clearSelect().select((eb) => eb.fn.countAll<number>().as('count'));
      const [row] = await counted.execute();
      return (row as { readonly count: number } | undefined)?.count ?? 0;
    },
  };
}

function cursorOf(scope: string, { created_at, id }: Ordered): string {
  return cursorIn(scope, `${created_at} ${id}`);
}

const CURSOR = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z) ([A-Za-z0-9][A-Za-z0-9_.:-]{0,63})$/;

function readCursor(scope: string, cursor: string): readonly [createdAt: string, id: string] {
  const [createdAt = '', id = ''] = readCursorIn(scope, cursor, CURSOR);
  return [createdAt, id];
}

/** A cursor of one list of one log. */
export function cursorIn(scope: string, place: string): string {
  return Buffer.from(`${scope} ${place}`).toString('base64url');
}

/** The parts of the place that a cursor names, if it is one of this list. @throws GraphQLError CURSOR_INVALID */
export function readCursorIn(scope: string, cursor: string, place: RegExp): readonly string[] {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  const match = text.startsWith(`${scope} `) ? place.exec(text.slice(scope.length + 1)) : null;
  if (match !== null) return match.slice(1);
  throw apiError(
    'CURSOR_INVALID',
    `'${cursor.slice(0, 60)}' is no cursor of this list. Use one that a page of the same list gave you, unchanged, or none.`,
  );
}
