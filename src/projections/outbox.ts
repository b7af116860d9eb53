import { ETYPES, isReplicated, type RecordedEvent } from '../domain/event.js';
import { jsonBytes, type Json } from '../domain/json.js';
import { beginsEpoch, isKeyRotated, type KeyRotated } from '../domain/keyring.js';
import {
  isReplicationFact,
  type HostStateChanged,
  type ReplicasAcknowledged,
  type ReplicationFact,
  type ReplicationPolicySet,
} from '../domain/replication.js';
import { OUTBOX_VIEW, outboxTables, PROGRESS, type OutboxTables, type ProgressRow } from './outbox-tables.js';
import { defineProjection, type Handler, type Projection, type Rows } from './projection.js';

const NOTHING: ProgressRow = {
  name: PROGRESS,
  origin: null,
  root_key_id: null,
  head: 0,
  quorum: 0,
  quorum_at: null,
  policy: null,
  required_acks: 0,
  writer_epoch: 0,
  line: 1,
  next_line: 0,
  begun: 0,
  quorum_epoch: 0,
  elected_epoch: 0,
  base: 0,
  restored: 0,
  dishonest_weight: 0,
  holes: '[]',
  key_epoch: 0,
};

const NEW_HOST = {
  state: 'ACTIVE',
  why: '',
  state_sequence: 0,
  sequence: 0,
  head: null,
  acknowledged_at: null,
  proof: null,
  proven_at: null,
};

type Outbox = Rows<OutboxTables>;
type Event<F extends ReplicationFact | KeyRotated> = RecordedEvent<F['type'], F['data']>;
const PROGRESS_ROW = ['progress', PROGRESS] as const;

function progressOf(rows: Outbox): ProgressRow {
  return rows.get('progress', PROGRESS) ?? NOTHING;
}

/** Numbers a replicated event, and applies its changes to `progress`. Returns the event's sequence. */
function enqueue(rows: Outbox, event: RecordedEvent<string, object>, changes: Partial<ProgressRow> = {}): number {
  const progress = progressOf(rows);
  const id = progress.head + 1;
  rows.put('progress', { ...progress, ...changes, head: id });
  rows.put('entries', {
    id,
    key: event.stream,
    etype: event.etype,
    event_id: event.id,
    bytes: jsonBytes(event.data as Json) + jsonBytes(event.metadata as unknown as Json),
    created_at: event.metadata.at,
    position: event.position,
  });
  return id;
}

/** Wraps a handler so that it receives only events whose data has the shape of their type; any other throws. */
function wellFormed<F extends ReplicationFact | KeyRotated>(
  handler: Handler<Event<F>, OutboxTables>,
): Handler<Event<F>, OutboxTables> {
  const assertWhole = (event: Event<F>) => {
    const isWhole = isKeyEvent(event) ? isKeyRotated(event.data) : isReplicationFact(event as ReplicationFact);
    if (!isWhole) throw new Error(`the data of this ${event.type} does not have the shape of its type`);
  };
  return {
    touches(event) {
      assertWhole(event);
      return handler.touches(event);
    },
    fold: (rows, event) => handler.fold(rows, event),
  };
}

function isKeyEvent({ type }: { readonly type: string }): boolean {
  return type === 'KeyRotated';
}

/** Whether an event names the log's origin. One that names another origin is about another log and has no effect. */
function isOfOrigin(rows: Outbox, { data }: Event<ReplicationFact | KeyRotated>): boolean {
  const { origin } = progressOf(rows);
  return origin === null || origin === data.origin;
}

const replicated: Handler<RecordedEvent<string, object>, OutboxTables> = {
  touches: () => [PROGRESS_ROW],
  fold: (rows, event) => void enqueue(rows, event),
};

const local: typeof replicated = { touches: () => [], fold: () => undefined };

/** A skipped event keeps its sequence, because the events after it are sealed with theirs. */
const skipped: typeof replicated = {
  touches: () => [PROGRESS_ROW],
  fold(rows, event) {
    if (isReplicated(event)) enqueue(rows, event);
  },
};

/** The progress of a line that has just begun: nothing is at quorum in it, and no election was won. */
function newLine(line: number, begun: number): Partial<ProgressRow> {
  return { line, begun, quorum: 0, quorum_epoch: 0, elected_epoch: 0, base: begun, restored: 0 };
}

const setPolicy: Handler<Event<ReplicationPolicySet>, OutboxTables> = {
  touches: ({ data }) => [
    PROGRESS_ROW,
    ['policies', String(data.version)],
    ...data.hosts.map(({ host }) => ['hosts', host] as const),
  ],
  fold(rows, event) {
    const { version, hosts, required, line: begins, holes = [] } = event.data;
    // Two policies of one version may have been set at the same time: only the first has effect; the other is set again if it
    // is still wanted.
    if (!isOfOrigin(rows, event) || rows.get('policies', String(version)) !== undefined)
      return void enqueue(rows, event);
    const at = event.metadata.at;
    const { policy, line, head } = progressOf(rows);
    const begun = head + 1;
    const inForce = { policy: version, required_acks: required };
    // The first policy of a line is in force immediately; a later one when an acknowledgement names it.
    let changes: Partial<ProgressRow> = policy === null ? { ...inForce, begun } : {};
    if (begins !== undefined && begins > line)
      changes = { ...inForce, ...newLine(begins, begun), holes: JSON.stringify(holes) };
    const sequence = enqueue(rows, event, changes);
    rows.put('policies', {
      ...{ version, sequence, required, hosts: JSON.stringify(hosts), created_at: at },
      line: changes.line ?? line,
    });
    for (const { host, url, verifyKey, weight, confirmed } of hosts) {
      const known = rows.get('hosts', host) ?? { host, ...NEW_HOST };
      const row = { ...known, url, verify_key: verifyKey, weight, confirmed: confirmed ? 1 : 0, updated_at: at };
      rows.put('hosts', row);
    }
  },
};

const changeHost: Handler<Event<HostStateChanged>, OutboxTables> = {
  touches: ({ data }) => [PROGRESS_ROW, ['hosts', data.host]],
  fold(rows, event) {
    enqueue(rows, event);
    const { host, state, sequence, why, proof } = event.data;
    const known = rows.get('hosts', host);
    if (known === undefined || !isOfOrigin(rows, event)) return;
    // RETIRED is permanent, and only an operator reinstates a suspended host: FULL and BLOCKED may be recorded late.
    const isLate = state === 'FULL' || state === 'BLOCKED';
    if (known.state === 'RETIRED' || (known.state === 'SUSPENDED' && isLate)) return;
    const at = event.metadata.at;
    // What a suspended host has signed for does not count; when it is reinstated, it counts with the head it shows then.
    const reached = state === 'SUSPENDED' ? { sequence: 0, head: null } : {};
    const proven = proof === undefined ? {} : { proof: JSON.stringify(proof), proven_at: at };
    const cleared = state === 'ACTIVE' ? { proof: null, proven_at: null } : proven;
    rows.put('hosts', { ...known, ...reached, ...cleared, state, why, state_sequence: sequence, updated_at: at });
  },
};

const acknowledge: Handler<Event<ReplicasAcknowledged>, OutboxTables> = {
  touches: ({ data }) => [
    PROGRESS_ROW,
    ['policies', String(data.policyVersion)],
    ['quorums', String(data.quorumSequence)],
    ...data.hosts.map(({ host }) => ['hosts', host] as const),
  ],
  fold(rows, event) {
    if (!isOfOrigin(rows, event)) return;
    const { policyVersion, writerEpoch, line, hosts, quorumSequence, quorumEpoch, elected } = event.data;
    const at = event.metadata.at;
    const progress = progressOf(rows);
    const reached = hosts.map(({ sequence }) => sequence);
    assertNotAhead(progress, [quorumSequence, ...reached, ...(elected === undefined ? [] : [elected.base])]);
    // A quorum of an older line does not apply to this one.
    const rises = line === progress.line && quorumSequence > progress.quorum;
    const policy = line === progress.line ? rows.get('policies', String(policyVersion)) : undefined;
    rows.put('progress', {
      ...progress,
      ...(rises ? { quorum: quorumSequence, quorum_epoch: quorumEpoch, quorum_at: at } : {}),
      ...(policy === undefined ? {} : { policy: policy.version, required_acks: policy.required }),
      ...wonBy(event.data, progress),
      writer_epoch: Math.max(progress.writer_epoch, writerEpoch),
    });
    if (rises && rows.get('quorums', String(quorumSequence)) === undefined)
      rows.put('quorums', { sequence: quorumSequence, at });
    for (const { host, sequence, head } of hosts) {
      const known = rows.get('hosts', host);
      if (known === undefined || known.state === 'SUSPENDED') continue;
      // Heads of protocol 1 have no rank, so the highest sequence is kept.
      const last = head === null ? Math.max(known.sequence, sequence) : sequence;
      const counted = head === null ? known.head : JSON.stringify(head);
      rows.put('hosts', { ...known, sequence: last, head: counted, acknowledged_at: at });
    }
  },
};

/** The changes by an election won in this line, unless a later one is known. One of a higher line announces that line. */
function wonBy(
  { elected, restored, dishonestWeight, holes }: ReplicasAcknowledged['data'],
  { line, next_line: next, elected_epoch: epoch }: ProgressRow,
): Partial<ProgressRow> {
  const stated = dishonestWeight === undefined ? {} : { dishonest_weight: dishonestWeight };
  if (elected === undefined) return stated;
  if (elected.line > line) {
    const found = holes === undefined ? {} : { holes: JSON.stringify(holes) };
    return { ...stated, ...found, next_line: Math.max(next, elected.line) };
  }
  if (elected.line < line || elected.epoch < epoch) return stated;
  return { ...stated, elected_epoch: elected.epoch, base: elected.base, restored: restored === true ? 1 : 0 };
}

/**
 * Hosts sign for what a log has shipped, so an acknowledgement never reaches beyond the events before it in its own log.
 * @throws Error when it does
 */
function assertNotAhead({ head }: ProgressRow, sequences: readonly number[]): void {
  const ahead = Math.max(...sequences);
  if (ahead > head)
    throw new Error(
      `It acknowledges events up to ${ahead}, but only ${head} replicated events precede it: it was recorded for another log. Skip it.`,
    );
}

const rotateKey: Handler<Event<KeyRotated>, OutboxTables> = {
  touches: ({ data }) => [PROGRESS_ROW, ['keys', String(data.keyEpoch)]],
  fold(rows, event) {
    const { origin, keyEpoch, keyId, rootKeyId, wrappedKey } = event.data;
    const { origin: known, root_key_id: root } = progressOf(rows);
    const first = root === null ? undefined : { origin: known ?? origin, rootKeyId: root };
    const isKnown = (epoch: number) => rows.get('keys', String(epoch)) !== undefined;
    if (!isOfOrigin(rows, event) || !beginsEpoch(event.data, first, isKnown)) return void enqueue(rows, event);
    const sequence = enqueue(rows, event, { origin, root_key_id: root ?? rootKeyId, key_epoch: keyEpoch });
    rows.put('keys', {
      key_epoch: keyEpoch,
      sequence,
      key_id: keyId,
      root_key_id: rootKeyId,
      wrapped_key: wrappedKey,
      created_at: event.metadata.at,
    });
  },
};

/** The read model of replication: the replicated events, how far each host has got, policies, hosts and keys. */
export const outbox: Projection = defineProjection<OutboxTables, ReplicationFact | KeyRotated>({
  name: 'outbox',
  version: 4,
  categories: 'ALL',
  tables: outboxTables,
  views: { outbox: OUTBOX_VIEW },
  handlers: {
    ReplicationPolicySet: wellFormed(setPolicy),
    HostStateChanged: wellFormed(changeHost),
    ReplicasAcknowledged: wellFormed(acknowledge),
    KeyRotated: wellFormed(rotateKey),
  },
  others: (type) => (isReplicated({ type, etype: ETYPES[type] }) ? replicated : local),
  skipped,
});
