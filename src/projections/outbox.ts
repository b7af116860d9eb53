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

/** Numbers a replicated event, which may also change what is known of the whole. Returns its number. */
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

/** Lets a handler see events of their type's shape only. */
function wellFormed<F extends ReplicationFact | KeyRotated>(
  handler: Handler<Event<F>, OutboxTables>,
): Handler<Event<F>, OutboxTables> {
  const assertWhole = (event: Event<F>) => {
    const isWhole = isKeyEvent(event) ? isKeyRotated(event.data) : isReplicationFact(event as ReplicationFact);
    if (!isWhole) throw new Error(`the data of this ${event.type} is not what it must be`);
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

/** Whether something is about the log's origin. What names another is about another log, whichever way it came here. */
function isOfOrigin(rows: Outbox, { data }: Event<ReplicationFact | KeyRotated>): boolean {
  const { origin } = progressOf(rows);
  return origin === null || origin === data.origin;
}

const replicated: Handler<RecordedEvent<string, object>, OutboxTables> = {
  touches: () => [PROGRESS_ROW],
  fold: (rows, event) => void enqueue(rows, event),
};

const local: typeof replicated = { touches: () => [], fold: () => undefined };

/** An event keeps its number though it is skipped: those after it are sealed with theirs. */
const skipped: typeof replicated = {
  touches: () => [PROGRESS_ROW],
  fold(rows, event) {
    if (isReplicated(event)) enqueue(rows, event);
  },
};

/** What is known of a line that has just begun: nothing was at quorum in it, and no election was won. */
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
    // Two may have been set at the same time: the first is the one, and the other is set again if it is still wanted.
    if (!isOfOrigin(rows, event) || rows.get('policies', String(version)) !== undefined)
      return void enqueue(rows, event);
    const at = event.metadata.at;
    const { policy, line, head } = progressOf(rows);
    const begun = head + 1;
    const inForce = { policy: version, required_acks: required };
    // The first of a line is in force at once; one that follows when an acknowledgement says so.
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
    // Who is gone stays gone, and only an operator takes back what is suspended: FULL and BLOCKED may come late.
    const isLate = state === 'FULL' || state === 'BLOCKED';
    if (known.state === 'RETIRED' || (known.state === 'SUSPENDED' && isLate)) return;
    const at = event.metadata.at;
    // What a suspended host has signed for counts for nothing; it is reinstated with what it then shows.
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
    // What was known of an older line says nothing of this one.
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
      // A head of protocol 1 does not rank.
      const last = head === null ? Math.max(known.sequence, sequence) : sequence;
      const counted = head === null ? known.head : JSON.stringify(head);
      rows.put('hosts', { ...known, sequence: last, head: counted, acknowledged_at: at });
    }
  },
};

/** An election that was won in this line, unless the log knows a later one. One of a higher line announces that. */
function wonBy(
  { elected, restored, dishonestWeight, holes }: ReplicasAcknowledged['data'],
  { line, next_line: next, elected_epoch: epoch }: ProgressRow,
): Partial<ProgressRow> {
  const told = dishonestWeight === undefined ? {} : { dishonest_weight: dishonestWeight };
  if (elected === undefined) return told;
  if (elected.line > line) {
    const found = holes === undefined ? {} : { holes: JSON.stringify(holes) };
    return { ...told, ...found, next_line: Math.max(next, elected.line) };
  }
  if (elected.line < line || elected.epoch < epoch) return told;
  return { ...told, elected_epoch: elected.epoch, base: elected.base, restored: restored === true ? 1 : 0 };
}

/**
 * Hosts sign for what a log has shipped, so an acknowledgement never reaches beyond what comes before it in its own log.
 * @throws Error when it does
 */
function assertNotAhead({ head }: ProgressRow, sequences: readonly number[]): void {
  const ahead = Math.max(...sequences);
  if (ahead > head)
    throw new Error(
      `It acknowledges events up to ${ahead}, and only ${head} replicated events come before it: it was recorded for another log. Skip it.`,
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

/** What must reach the hosts, how far it has got, and what is known of the hosts. */
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
