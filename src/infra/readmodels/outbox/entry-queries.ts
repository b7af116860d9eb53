import { sql, type Kysely } from 'kysely';
import type { Policy } from '../../../domain/replication.js';
import { checkFirst, checkLists, cursorIn, DEFAULT_PAGE, readCursorIn, type Page, type PageRequest } from '../page.js';
import type { OutboxDatabase } from './database.js';

/** Whether a quorum has signed for a replicated event. Only a new line makes a COMPLETED event PENDING again. */
export type EntryStatus = 'PENDING' | 'COMPLETED';

/** Selects the replicated events of a page: all given conditions must match (AND). */
export interface EntryFilter {
  readonly status?: EntryStatus | null;
  /** Numbers of event types. */
  readonly etypes?: readonly number[] | null;
  /** A stream. */
  readonly key?: string | null;
}

/** A replicated event, and how far its replication has got. */
export interface Entry {
  /** Its sequence: 1, 2, 3 … in log order, the same on every host. */
  readonly id: string;
  readonly key: string;
  readonly etype: number;
  readonly status: EntryStatus;
  /** The weight of hosts that must have signed, by the policy in force. */
  readonly requiredAcks: number;
  /** The weight of hosts of the policy in force that have signed. */
  readonly acks: number;
  readonly position: string;
  readonly eventId: string;
  readonly bytes: number;
  readonly createdAt: string;
  readonly completedAt: string | null;
}

const CURSOR = /^([1-9]\d{0,15})$/;

/** The source of outbox pages. */
export interface OutboxSource {
  readonly outboxDb: Kysely<OutboxDatabase>;
  readonly log: { readonly logId: string };
  token(position: string): string;
}

/**
 * A page of the replicated events that match a filter, newest first. The status of each follows from its sequence: events up to
 * the quorum sequence are COMPLETED, and a host has signed for all events up to its own sequence.
 * @throws RequestError BAD_USER_INPUT, CURSOR_INVALID
 */
export async function outboxPage<N>(
  source: OutboxSource,
  filter: EntryFilter | null | undefined,
  { first, after }: PageRequest,
  toNode: (entry: Entry) => N,
): Promise<Page<N>> {
  const { outboxDb: db, log } = source;
  const limit = checkFirst(first, DEFAULT_PAGE);
  checkLists({ 'filter.etypes': filter?.etypes });
  const scope = `${log.logId} outbox`;
  const before = after === null || after === undefined ? undefined : Number(readCursorIn(scope, after, CURSOR)[0]);
  const { head, quorum, requiredAcks, acksOf } = await readReach(db);
  const { status, etypes, key } = filter ?? {};
  // The outbox's progress was read above; events recorded since then are left out of this answer.
  const above = status === 'PENDING' ? quorum : 0;
  const upTo = status === 'COMPLETED' ? quorum : head;
  let query = db.selectFrom('entries as e').where('e.id', '>', above).where('e.id', '<=', upTo);
  if (etypes) query = query.where('e.etype', 'in', etypes);
  if (key !== null && key !== undefined) query = query.where('e.key', '=', key);
  let page = query
    .select(['e.id', 'e.key', 'e.etype', 'e.event_id', 'e.bytes', 'e.created_at'])
    .select(sql<string>`cast(e.position as text)`.as('position'))
    .select((eb) =>
      eb
        .selectFrom('quorums as q')
        .select('q.at')
        .whereRef('q.sequence', '>=', 'e.id')
        .orderBy('q.sequence')
        .limit(1)
        .as('completed_at'),
    );
  if (before !== undefined) page = page.where('e.id', '<', before);
  const rows = await page
    .orderBy('e.id', 'desc')
    .limit(limit + 1)
    .execute();
  const edges = rows.slice(0, limit).map((row) => {
    const isCompleted = row.id <= quorum;
    const entry: Entry = {
      id: String(row.id),
      key: row.key,
      etype: row.etype,
      status: isCompleted ? 'COMPLETED' : 'PENDING',
      requiredAcks,
      acks: acksOf(row.id),
      position: source.token(row.position),
      eventId: row.event_id,
      bytes: row.bytes,
      createdAt: row.created_at,
      completedAt: isCompleted ? row.completed_at : null,
    };
    return { cursor: cursorIn(scope, entry.id), node: toNode(entry) };
  });
  return {
    edges,
    pageInfo: { hasNextPage: rows.length > limit, endCursor: edges.at(-1)?.cursor ?? null },
    count: async () => {
      // Sequences have no gaps.
      if (!etypes && (key === null || key === undefined)) return Math.max(0, upTo - above);
      const { count } = await query.select((eb) => eb.fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
      return count;
    },
  };
}

/** How many events of a stream are at quorum, and the weight that a quorum requires. */
export interface Acknowledged {
  readonly acknowledged: number;
  readonly requiredAcks: number;
}

/** How many events of each given stream are at quorum, in the order of the streams. */
export async function acknowledgedOf(db: Kysely<OutboxDatabase>, streams: readonly string[]): Promise<Acknowledged[]> {
  const { quorum, requiredAcks } = await readReach(db);
  const rows = await db
    .selectFrom('entries')
    .select((eb) => ['key', eb.fn.countAll<number>().as('acknowledged')])
    .where('key', 'in', streams)
    .where('id', '<=', quorum)
    .groupBy('key')
    .execute();
  const counts = new Map(rows.map(({ key, acknowledged }) => [key, acknowledged]));
  return streams.map((stream) => ({ acknowledged: counts.get(stream) ?? 0, requiredAcks }));
}

/** How far the outbox and its hosts have got. */
async function readReach(db: Kysely<OutboxDatabase>) {
  const progress = await db.selectFrom('progress').selectAll().executeTakeFirst();
  const policy = await db
    .selectFrom('policies')
    .select('hosts')
    .where('version', '=', progress?.policy ?? 0)
    .executeTakeFirst();
  const hosts = await db.selectFrom('hosts').select(['host', 'sequence']).execute();
  const named = policy === undefined ? [] : (JSON.parse(policy.hosts) as Policy['hosts']);
  const reached = named.map(({ host, weight }) => ({
    weight,
    sequence: hosts.find((one) => one.host === host)?.sequence ?? 0,
  }));
  return {
    head: progress?.head ?? 0,
    quorum: progress?.quorum ?? 0,
    requiredAcks: progress?.required_acks ?? 0,
    /** The weight of the hosts that have signed for an event. */
    acksOf: (id: number) => reached.reduce((sum, { weight, sequence }) => sum + (sequence >= id ? weight : 0), 0),
  };
}
