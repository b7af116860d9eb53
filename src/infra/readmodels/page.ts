import type { ExpressionBuilder, ReferenceExpression, SelectQueryBuilder } from 'kysely';
import { RequestError } from './request-error.js';

/** The largest page. */
export const MAX_PAGE = 100;
/** The size of a page unless one is asked for. */
export const DEFAULT_PAGE = 20;
/** The most values of a list that is looked for. */
const MAX_LIST = 100;

/** Which page of a list is asked for. */
export interface PageRequest {
  /** 20 unless given. */
  readonly first?: number | null;
  /** The cursor to read on after. */
  readonly after?: string | null;
}

/** A page of a list, and how to count what it is a page of. */
export interface Page<N> {
  readonly edges: readonly { readonly cursor: string; readonly node: N }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    /** Null when the page is empty. */
    readonly endCursor: string | null;
  };
  readonly count: () => Promise<number>;
}

/** Refuses lists that are too long to look for, by the names of their arguments. @throws RequestError BAD_USER_INPUT */
export function checkLists(lists: Readonly<Record<string, readonly unknown[] | null | undefined>>): void {
  for (const [name, list] of Object.entries(lists)) {
    const length = list?.length ?? 0;
    if (length <= MAX_LIST) continue;
    throw new RequestError('BAD_USER_INPUT', `${name} takes at most ${MAX_LIST} values; it has ${length}.`);
  }
}

/** The size of a page, and a refusal of one outside 1–100. @throws RequestError BAD_USER_INPUT */
export function checkFirst(given: number | null | undefined, otherwise: number): number {
  const first = given ?? otherwise;
  if (Number.isInteger(first) && first >= 1 && first <= MAX_PAGE) return first;
  throw new RequestError(
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

/** The parts of the place that a cursor names, if it is one of this list. @throws RequestError CURSOR_INVALID */
export function readCursorIn(scope: string, cursor: string, place: RegExp): readonly string[] {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  const match = text.startsWith(`${scope} `) ? place.exec(text.slice(scope.length + 1)) : null;
  if (match !== null) return match.slice(1);
  throw new RequestError(
    'CURSOR_INVALID',
    `'${cursor.slice(0, 60)}' is no cursor of this list. Use one that a page of the same list gave you, unchanged, or none.`,
  );
}
