import type { Kysely } from 'kysely';
import { standingOf } from '../../../domain/policy.js';
import type { HostProof, HostState, Policy } from '../../../domain/replication.js';
import type { HaltReason } from '../../../domain/writer.js';
import type { HostRow } from '../../../projections/outbox-tables.js';
import type { OutboxDatabase } from '../../readmodels/outbox/database.js';
import { statusRows } from '../../readmodels/outbox/status-queries.js';
import { electionStatus, type ElectionStatus } from './election-status.js';
import type { NotReplicated } from './operations.js';
import type { Replication } from './replication.js';

/** A host lags when it has not signed for an event that is older than this, in milliseconds. */
const LATE_MS = 10_000;

/** A storage host: what the log knows of it, and this core's contact with it. */
export interface HostStatus {
  /** The fingerprint of its verify key. */
  readonly id: string;
  /** Its display name: host and port of its URL. */
  readonly name: string;
  readonly url: string;
  readonly state: HostState;
  /** Why it is in that state. */
  readonly why: string;
  readonly confirmed: boolean;
  /** 0 when the latest policy does not name it. */
  readonly weight: number;
  /** The sequence up to which it has signed. */
  readonly sequence: number;
  /** How many events it has not signed for. */
  readonly behind: number;
  readonly lastAcknowledgedAt: string | null;
  /** Whether the last attempt succeeded; null when this core is not the one that replicates. */
  readonly reached: boolean | null;
  readonly lastError: string | null;
  /** How many events it reports as damaged; null when this core is not the one that replicates, or has not heard it. */
  readonly damaged: number | null;
  /** How often it returned another event than the one it signed for, or none, to this core; null as `damaged` is. */
  readonly failedAudits: number | null;
  /** The proof of its dishonesty; null unless it is suspended for that. */
  readonly proof: (Pick<HostProof, 'kind'> & { readonly at: string }) | null;
  /** The age of the tree that it shows, in seconds; null as `damaged` is. */
  readonly treeAgeSeconds: number | null;
  /** The broker's score, 0–1; null when it has given none. */
  readonly score: number | null;
}

/** A configured URL that does not count yet. */
export interface UnmetUrl {
  readonly url: string;
  /** Null when this core is not the one that replicates, or has not tried. */
  readonly trouble: string | null;
}

/** The progress of replication, and what hinders it. */
export interface ReplicationStatus extends ElectionStatus {
  readonly enabled: boolean;
  /** The name of this core's log on the hosts; null where nothing is, or was, replicated. */
  readonly origin: string | null;
  /** The number of the log's line, from 1. It rises when a loss is accepted or a line is begun. */
  readonly line: number;
  readonly writerEpoch: number;
  readonly keyEpoch: number;
  /** The version of the policy in force. */
  readonly policyVersion: number | null;
  readonly requiredAcks: number;
  readonly headSequence: number;
  readonly quorumSequence: number;
  readonly pending: number;
  readonly completed: number;
  /** The age of the oldest pending event; 0 when none is, or nothing is replicated. */
  readonly lagSeconds: number;
  /**
   * Whether anything keeps any event from any host: replication has stopped or is refused, there is no policy, a
   * configured URL does not count, or a host of the latest policy is not ACTIVE, is not reached, or has not signed for
   * an event that is older than ten seconds.
   */
  readonly degraded: boolean;
  readonly stopped: HaltReason | null;
  readonly refusal: NotReplicated | null;
  readonly hosts: readonly HostStatus[];
  readonly unmet: readonly UnmetUrl[];
}

/** Reads the status of replication. @param replication undefined where nothing is replicated */
export async function readStatus(
  db: Kysely<OutboxDatabase>,
  replication: Replication | undefined,
  now: Date,
): Promise<ReplicationStatus> {
  const { progress, inPlay, hosts: rows, times } = await statusRows(db);
  const policy = inPlay.at(-1);
  const hosts = rows.map((row) => toHost(row, policy, progress.head, replication, now));
  const { head, quorum } = progress;
  const ageMs = (sequence: number) => Math.max(0, now.getTime() - (times.get(sequence) ?? now.getTime()));
  const isTroubled = (host: HostStatus) =>
    host.state !== 'ACTIVE' || host.reached === false || ageMs(host.sequence + 1) > LATE_MS;
  const enabled = replication !== undefined;
  const stopped = replication?.halted ?? null;
  const refusal = replication?.refusal ?? null;
  const unmet = replication === undefined ? [] : unmetUrls(replication, policy, rows);
  return {
    enabled,
    origin: replication?.settings.origin ?? progress.origin,
    line: progress.line,
    ...electionStatus(
      replication?.replicator,
      inPlay,
      Math.max(progress.dishonest_weight, replication?.settings.dishonestWeight ?? 0),
    ),
    writerEpoch: progress.writer_epoch,
    keyEpoch: progress.key_epoch,
    policyVersion: progress.policy,
    requiredAcks: progress.required_acks,
    headSequence: head,
    quorumSequence: quorum,
    pending: head - quorum,
    completed: quorum,
    lagSeconds: enabled ? ageMs(quorum + 1) / 1_000 : 0,
    degraded:
      enabled &&
      (stopped !== null ||
        refusal !== null ||
        policy === undefined ||
        unmet.length > 0 ||
        hosts.some((host) => host.weight > 0 && isTroubled(host))),
    stopped,
    refusal,
    hosts,
    unmet,
  };
}

function toHost(
  row: HostRow,
  policy: Policy | undefined,
  head: number,
  replication: Replication | undefined,
  now: Date,
): HostStatus {
  const { host: id, url, sequence, why, confirmed, acknowledged_at: lastAcknowledgedAt, proof, proven_at: at } = row;
  const contact = replication?.replicator?.contactOf(id);
  const signedAt = contact?.head?.tree?.value.ts;
  return {
    id,
    name: URL.canParse(url) ? new URL(url).host : url,
    url,
    state: row.state as HostState,
    why,
    confirmed: confirmed === 1,
    weight: policy?.hosts.find(({ host }) => host === id)?.weight ?? 0,
    sequence,
    behind: Math.max(0, head - sequence),
    lastAcknowledgedAt,
    reached: contact?.isReached ?? null,
    lastError: contact?.lastError ?? null,
    damaged: contact?.head?.damaged ?? null,
    failedAudits: contact?.head === undefined ? null : contact.failedAudits,
    proof: proof && at ? { kind: (JSON.parse(proof) as HostProof).kind, at } : null,
    treeAgeSeconds: signedAt === undefined ? null : Math.max(0, now.getTime() - signedAt) / 1_000,
    score: replication?.scoreOf(id) ?? null,
  };
}

/** Configured URLs that stand for no host of the latest policy, except those of RETIRED hosts. */
function unmetUrls(
  { settings, replicator }: Replication,
  policy: Policy | undefined,
  rows: readonly HostRow[],
): UnmetUrl[] {
  return settings.hosts.flatMap((wanted) => {
    const { url } = wanted;
    const standing = standingOf(wanted, policy, replicator?.metAt(url));
    if (standing !== 'UNMET' && 'host' in standing) {
      const { host } = standing.host;
      if (policy?.hosts.some((named) => named.host === host) === true) return [];
      if (rows.some((row) => row.host === host && row.state === 'RETIRED')) return [];
    }
    return [{ url, trouble: replicator?.failureOf(url) ?? null }];
  });
}
