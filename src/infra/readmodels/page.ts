import type { ExpressionBuilder, ReferenceExpression, SelectQueryBuilder } from 'kysely';
import { RequestError } from './request-error.js';

/** The largest page. */
export const MAX_PAGE = 100;
/** The default size of a page. */
export const DEFAULT_PAGE = 20;
/** The most values of a list in a filter. */
const MAX_LIST = 100;

/** The requested page of a list. */
export interface PageRequest {
  /** The size of the page, 1–100; 20 by default. */
  readonly first?: number | null;
  /** The cursor after which the page begins. */
  readonly after?: string | null;
}

/** A page of a list, and a function that counts the complete list. */
export interface Page<N> {
  readonly edges: readonly { readonly cursor: string; readonly node: N }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    /** Null when the page is empty. */
    readonly endCursor: string | null;
  };
  readonly count: () => Promise<number>;
}

/** Refuses lists of more than 100 values; the keys name their arguments. @throws RequestError BAD_USER_INPUT */
export function checkLists(lists: Readonly<Record<string, readonly unknown[] | null | undefined>>): void {
  for (const [name, list] of Object.entries(lists)) {
    const length = list?.length ?? 0;
    if (length <= MAX_LIST) continue;
    throw new RequestError('BAD_USER_INPUT', `${name} accepts at most ${MAX_LIST} values; it has ${length}.`);
  }
}

/** The size of a page: `given`, or else `otherwise`. @throws RequestError BAD_USER_INPUT when it is outside 1–100 */
export function checkFirst(given: number | null | undefined, otherwise: number): number {
  const first = given ?? otherwise;
  if (Number.isInteger(first) && first >= 1 && first <= MAX_PAGE) return first;
  throw new RequestError(
    'BAD_USER_INPUT',
    `first must be 1–${MAX_PAGE}; it is ${first}. To read the next page, pass pageInfo.endCursor as after.`,
  );
}

/** The order of rows: newest first, then by id. Neither column ever changes, so cursors remain valid. */
interface Ordered {
  readonly id: string;
  readonly created_at: string;
}

/**
 * Reads a page, newest first. A cursor names the row that it follows, not an offset, so rows added meanwhile shift nothing. It
 * also names its log and table, so that a cursor of another list is refused.
 * @throws RequestError BAD_USER_INPUT, CURSOR_INVALID
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

/** The parts of the place that a cursor of this list names. @throws RequestError CURSOR_INVALID for any other text */
export function readCursorIn(scope: string, cursor: string, place: RegExp): readonly string[] {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  const match = text.startsWith(`${scope} `) ? place.exec(text.slice(scope.length + 1)) : null;
  if (match !== null) return match.slice(1);
  throw new RequestError(
    'CURSOR_INVALID',
    `'${cursor.slice(0, 60)}' is not a cursor of this list. Use one that a page of the same list returned, unchanged, or none.`,
  );
}
