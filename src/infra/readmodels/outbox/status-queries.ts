import type { Kysely } from 'kysely';
import type { Policy } from '../../../domain/replication.js';
import { PROGRESS, type HostRow, type ProgressRow } from '../../../projections/outbox-tables.js';
import type { OutboxDatabase } from './database.js';

type KnownProgress = Pick<ProgressRow, 'origin' | 'head' | 'quorum' | 'policy' | 'required_acks'> &
  Pick<ProgressRow, 'line' | 'writer_epoch' | 'key_epoch' | 'dishonest_weight'>;

const NOTHING: KnownProgress = {
  origin: null,
  head: 0,
  quorum: 0,
  policy: null,
  required_acks: 0,
  line: 1,
  dishonest_weight: 0,
  writer_epoch: 0,
  key_epoch: 0,
};

/** The rows from which the status of replication is computed, all read at one moment. */
export interface StatusRows {
  readonly progress: KnownProgress;
  /** The policies in play, by version. */
  readonly inPlay: readonly Policy[];
  /** The hosts, by URL. */
  readonly hosts: readonly HostRow[];
  /** The times of the first events that the quorum and each host lack: milliseconds since 1970, by sequence. */
  readonly times: ReadonlyMap<number, number>;
}

/** Reads the rows for the status of replication in one transaction. */
export function statusRows(outboxDb: Kysely<OutboxDatabase>): Promise<StatusRows> {
  return outboxDb.transaction().execute(async (db) => {
    const progress =
      (await db.selectFrom('progress').selectAll().where('name', '=', PROGRESS).executeTakeFirst()) ?? NOTHING;
    const policies = await db
      .selectFrom('policies')
      .select(['required', 'version', 'hosts'])
      .where('version', '>=', progress.policy ?? 0)
      .orderBy('version')
      .execute();
    const inPlay = policies.map((policy) => ({ ...policy, hosts: JSON.parse(policy.hosts) as Policy['hosts'] }));
    const hosts = await db.selectFrom('hosts').selectAll().orderBy('url').orderBy('host').execute();
    const lacking = [progress.quorum + 1, ...hosts.map(({ sequence }) => sequence + 1)];
    const entries = await db.selectFrom('entries').select(['id', 'created_at']).where('id', 'in', lacking).execute();
    const times = new Map(entries.map(({ id, created_at }) => [id, Date.parse(created_at)]));
    return { progress: sinceProtocol2(progress), inPlay, hosts, times };
  });
}

type OfProtocol2 = 'line' | 'dishonest_weight';

/** Adds the columns that a file of an older build lacks until it is rebuilt. */
function sinceProtocol2(
  progress: Omit<KnownProgress, OfProtocol2> & Partial<Pick<KnownProgress, OfProtocol2>>,
): KnownProgress {
  return { ...progress, line: progress.line ?? 1, dishonest_weight: progress.dishonest_weight ?? 0 };
}
