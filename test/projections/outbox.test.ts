import { describe, expect, it } from 'vitest';
import { ETYPES, type EventType, type RecordedEvent } from '../../src/domain/event.js';
import type { JsonObject } from '../../src/domain/json.js';
import { upcast } from '../../src/domain/upcast.js';
import { outbox } from '../../src/projections/outbox.js';
import type { AnyRow, Rows, Tables } from '../../src/projections/projection.js';

const AT = '2026-01-01T00:00:00.000Z';
const SIGNED = ['content', 'signature'] as const;

/** Folds events into tables in memory, showing each handler the rows it touches and no others. */
function fold(...facts: readonly (readonly [type: EventType, data: JsonObject, at?: string])[]) {
  const tables = new Map<string, Map<string, AnyRow>>(Object.keys(outbox.tables).map((name) => [name, new Map()]));
  for (const [i, [type, data, at = AT]] of facts.entries()) {
    const event = {
      id: `event-${i + 1}`,
      stream: `stream-${i + 1}`,
      revision: 0n,
      position: BigInt(10 * (i + 1)),
      type,
      etype: ETYPES[type],
      data,
      metadata: { at, actor: 'a', correlationId: 'c', causationId: 'c', schemaVersion: 1 },
      recordedAt: at,
    } satisfies RecordedEvent;
    const handler = outbox.handlers[type];
    if (handler === undefined) continue;
    const touched = new Map(
      handler.touches(event).map(([table, key]) => [`${table}/${key}`, tables.get(table)?.get(key)]),
    );
    const staged: [string, AnyRow][] = [];
    const rows = {
      get: (table: string, key: string) => touched.get(`${table}/${key}`),
      put: (table: string, row: AnyRow) => void staged.push([table, row]),
    };
    handler.fold(rows as unknown as Rows<Tables>, event);
    for (const [table, row] of staged) tables.get(table)?.set(String(row[outbox.tables[table]!.key]), row);
  }
  const rowsOf = (name: string) => [...(tables.get(name)?.values() ?? [])];
  return { rowsOf, progress: tables.get('progress')?.get('outbox') };
}

const MISSION = ['MissionCreated', { missionId: 'm' }] as const;
const hosts = (...names: string[]) =>
  names.map((host) => ({ host, url: `http://${host}`, verifyKey: 'k', weight: 1, confirmed: false }));
const policy = (version: number, required: number, ...names: string[]) =>
  ['ReplicationPolicySet', { origin: 'o', version, required, hosts: hosts(...names) }] as const;
const acks = (
  quorumSequence: number,
  reached: Readonly<Record<string, number>>,
  policyVersion = 1,
  at = AT,
  more: JsonObject = {},
) =>
  [
    'ReplicasAcknowledged',
    {
      origin: 'o',
      policyVersion,
      writerEpoch: 1,
      line: 1,
      hosts: Object.entries(reached).map(([host, sequence]) => ({ host, sequence, head: null })),
      quorumSequence,
      quorumEpoch: 1,
      ...more,
    },
    at,
  ] as const;
const state = (host: string, to: string, sequence = 0) =>
  ['HostStateChanged', { origin: 'o', host, state: to, sequence, why: 'because' }] as const;

describe('the outbox', () => {
  it('numbers replicated events, in log order and without gaps, and ignores local ones', () => {
    const { rowsOf, progress } = fold(
      policy(1, 1, 'a'),
      acks(0, {}),
      MISSION,
      ['EventsEvicted', {}],
      state('a', 'FULL'),
    );
    expect(rowsOf('entries').map(({ id, etype, position }) => [id, etype, position])).toEqual([
      [1, 20, 10n],
      [2, 10, 30n],
      [3, 21, 50n],
    ]);
    expect(progress).toMatchObject({ head: 3, quorum: 0 });
  });

  it('applies the first of two policies of one version, and of two keys of one epoch, and numbers both', () => {
    const key = (keyId: string) =>
      ['KeyRotated', { origin: 'o', keyEpoch: 1, keyId, rootKeyId: 'r', wrappedKey: 'w' }] as const;
    const { rowsOf, progress } = fold(key('first'), policy(1, 1, 'a'), policy(1, 2, 'a', 'b'), key('second'));
    expect(rowsOf('policies')).toMatchObject([{ version: 1, sequence: 2, required: 1 }]);
    expect(rowsOf('hosts').map(({ host }) => host)).toEqual(['a']);
    expect(rowsOf('keys')).toMatchObject([{ key_epoch: 1, sequence: 1, key_id: 'first' }]);
    expect(progress).toMatchObject({ head: 4, required_acks: 1, key_epoch: 1 });
  });

  it('keeps the highest quorum sequence: completed events remain completed', () => {
    const { rowsOf, progress } = fold(
      policy(1, 1, 'a', 'b'),
      MISSION,
      MISSION,
      acks(2, { a: 2 }, 1, '2026-01-01T00:00:01.000Z'),
      acks(1, { b: 1 }, 1, '2026-01-01T00:00:02.000Z'),
      acks(3, { b: 3 }, 1, '2026-01-01T00:00:03.000Z'),
    );
    expect(progress).toMatchObject({ quorum: 3, quorum_at: '2026-01-01T00:00:03.000Z', required_acks: 1 });
    expect(rowsOf('quorums').map(({ sequence }) => sequence)).toEqual([2, 3]);
    expect(rowsOf('hosts').map(({ host, sequence }) => [host, sequence])).toEqual([
      ['a', 2],
      ['b', 3],
    ]);
  });

  it('keeps a policy in force until an acknowledgement names the next', () => {
    const first = [policy(1, 1, 'a'), MISSION, policy(2, 2, 'a', 'b')] as const;
    expect(fold(...first).progress).toMatchObject({ policy: 1, required_acks: 1 });
    expect(fold(...first, acks(3, { a: 3, b: 3 }, 2)).progress).toMatchObject({ policy: 2, required_acks: 2 });
  });

  it('does not count what a suspended host has signed or signs, until it is reinstated', () => {
    const suspended = [
      policy(1, 1, 'a', 'b'),
      acks(1, { a: 1 }),
      state('a', 'SUSPENDED', 1),
      acks(1, { a: 2 }),
    ] as const;
    expect(fold(...suspended).rowsOf('hosts')[0]).toMatchObject({ state: 'SUSPENDED', sequence: 0, state_sequence: 1 });
    const back = fold(...suspended, state('a', 'ACTIVE'), acks(2, { a: 2 }));
    expect(back.rowsOf('hosts')[0]).toMatchObject({ state: 'ACTIVE', sequence: 2 });
  });

  it('has the keys, the origin and the root key of the log', () => {
    const key = { origin: 'o', keyEpoch: 1, keyId: 'k', rootKeyId: 'r', wrappedKey: 'w' };
    const { rowsOf, progress } = fold(MISSION, ['KeyRotated', key]);
    expect(rowsOf('keys')).toMatchObject([{ key_epoch: 1, sequence: 2, root_key_id: 'r' }]);
    expect(progress).toMatchObject({ origin: 'o', key_epoch: 1 });
  });

  it('numbers events that name another origin, and is otherwise not changed by them', () => {
    const key = { origin: 'o', keyEpoch: 1, keyId: 'k', rootKeyId: 'r', wrappedKey: 'w' };
    const foreign = ([type, data]: readonly [EventType, JsonObject, ...unknown[]]) =>
      [type, { ...data, origin: 'elsewhere' }] as const;
    const own = [['KeyRotated', key], policy(1, 1, 'a')] as const;
    const { rowsOf, progress } = fold(
      ...own,
      foreign(['KeyRotated', { ...key, keyEpoch: 2 }]),
      foreign(policy(2, 2, 'a', 'b')),
      foreign(state('a', 'SUSPENDED')),
      foreign(acks(4, { a: 4 })),
    );
    const before = fold(...own);
    for (const table of ['keys', 'policies', 'hosts', 'quorums']) expect(rowsOf(table)).toEqual(before.rowsOf(table));
    expect(rowsOf('entries')).toHaveLength(5);
    expect(progress).toEqual({ ...before.progress, head: 5 });
  });

  it('takes its origin from its first key, and not from an earlier policy of another log', () => {
    const key = { origin: 'o', keyEpoch: 1, keyId: 'k', rootKeyId: 'r', wrappedKey: 'w' };
    const [type, data] = policy(1, 1, 'a');
    const { rowsOf, progress } = fold([type, { ...data, origin: 'elsewhere' }], ['KeyRotated', key]);
    expect(progress).toMatchObject({ origin: 'o', root_key_id: 'r', key_epoch: 1 });
    expect(rowsOf('keys')).toHaveLength(1);
  });

  it('numbers a key of another root key, and does not apply it', () => {
    const key = { origin: 'o', keyEpoch: 1, keyId: 'k', rootKeyId: 'r', wrappedKey: 'w' };
    const { rowsOf, progress } = fold(['KeyRotated', key], ['KeyRotated', { ...key, keyEpoch: 2, rootKeyId: 'other' }]);
    expect(rowsOf('keys').map(({ key_epoch }) => key_epoch)).toEqual([1]);
    expect(progress).toMatchObject({ head: 2, key_epoch: 1, root_key_id: 'r' });
  });

  it.each([
    ['the quorum', acks(3, { a: 2 })],
    ['a host', acks(2, { a: 3 })],
  ])('refuses an acknowledgement of more events than exist: by %s', (_who, acknowledgement) => {
    expect(() => fold(policy(1, 1, 'a'), MISSION, acknowledgement)).toThrow(
      'It acknowledges events up to 3, but only 2 replicated events precede it',
    );
  });
});

describe('what the outbox knows of elections', () => {
  const won = (epoch: number, base: number, more: JsonObject = {}, line = 1) =>
    acks(0, {}, 1, AT, { elected: { line, epoch, base }, ...more });
  const begun = [policy(1, 1, 'a', 'b'), MISSION, MISSION] as const;

  it('is the last one that was won', () => {
    expect(fold(...begun).progress).toMatchObject({ line: 1, begun: 1, elected_epoch: 0, base: 0, restored: 0 });
    expect(fold(...begun, won(4, 2), won(7, 3)).progress).toMatchObject({ elected_epoch: 7, base: 3 });
  });

  it('is not changed by what a core that has lost its lease records later', () => {
    expect(fold(...begun, won(7, 3), won(4, 2)).progress).toMatchObject({ elected_epoch: 7, base: 3 });
  });

  it('shows that the log was restored, until one is won; the dishonest weight remains', () => {
    const restored = [...begun, won(4, 3, { restored: true, dishonestWeight: 2 })] as const;
    expect(fold(...restored).progress).toMatchObject({ restored: 1, dishonest_weight: 2, elected_epoch: 4 });
    expect(fold(...restored, acks(3, { a: 3 })).progress).toMatchObject({ restored: 1, quorum: 3 });
    expect(fold(...restored, won(5, 3)).progress).toMatchObject({ restored: 0, dishonest_weight: 2, elected_epoch: 5 });
  });

  it('has a base within the log', () => {
    expect(() => fold(...begun, won(4, 4))).toThrow('only 3 replicated events precede it');
  });

  it('begins again with a line, as does the quorum, and its policy is in force immediately', () => {
    const line = [...begun, acks(3, { a: 3 }), won(4, 3), lineOf(2, 2, 'b')] as const;
    const fresh = { line: 2, begun: 4, quorum: 0, quorum_epoch: 0, elected_epoch: 0, base: 4, policy: 2 };
    expect(fold(...line).progress).toMatchObject(fresh);
    expect(fold(...line, acks(3, { a: 3 }), won(9, 3)).progress).toMatchObject(fresh);
    const ofLine = { line: 2, quorumEpoch: 9, elected: { line: 2, epoch: 9, base: 4 } };
    const { progress, rowsOf } = fold(...line, acks(3, { b: 4 }, 2, '2026-01-01T00:00:09.000Z', ofLine));
    expect(progress).toMatchObject({ quorum: 3, quorum_epoch: 9, elected_epoch: 9, base: 4 });
    expect(rowsOf('quorums')).toEqual([{ sequence: 3, at: AT }]);
    expect(rowsOf('policies')).toMatchObject([
      { version: 1, line: 1 },
      { version: 2, line: 2 },
    ]);
  });

  it('has the holes that the announcement of a line names, then those of the policy that begins it', () => {
    expect(fold(...begun).progress).toMatchObject({ holes: '[]' });
    const announced = [...begun, won(0, 3, { holes: [1, 3] }, 2)] as const;
    expect(fold(...announced).progress).toMatchObject({ holes: '[1,3]' });
    // When a running core begins a line, the earlier holes remain.
    expect(fold(...announced, won(0, 3, {}, 3)).progress).toMatchObject({ holes: '[1,3]', next_line: 3 });
    expect(fold(...announced, lineOf(2, 2, 'b')).progress).toMatchObject({ holes: '[2]', line: 2 });
    const ordinary = ['ReplicationPolicySet', { ...policy(2, 1, 'b')[1], holes: [1] }] as const;
    expect(fold(...announced, ordinary).progress).toMatchObject({ holes: '[1,3]', line: 1 });
  });

  it('may be of a line that has not begun: the next policy begins it', () => {
    const announced = [...begun, won(0, 3, {}, 4), won(0, 3, {}, 2)] as const;
    expect(fold(...announced).progress).toMatchObject({ line: 1, next_line: 4, elected_epoch: 0, base: 0 });
    expect(fold(...announced, lineOf(4, 2, 'b')).progress).toMatchObject({ line: 4, next_line: 4, begun: 4 });
  });

  it('has a line that only rises', () => {
    const { progress, rowsOf } = fold(...begun, lineOf(3, 2, 'b'), lineOf(2, 3, 'a'));
    expect(progress).toMatchObject({ line: 3, begun: 4, policy: 2 });
    expect(rowsOf('policies')).toMatchObject([{ line: 1 }, { line: 3 }, { line: 3 }]);
  });

  it('keeps the last counted head of each host, and drops it when the host is suspended', () => {
    const head = { line: 1, epoch: 4, quorum: 2, signed: SIGNED };
    const counted = (sequence: number) =>
      acks(2, {}, 1, AT, { hosts: [{ host: 'a', sequence, head }], quorumEpoch: 4 });
    const one = [...begun, counted(3), counted(2)] as const;
    expect(fold(...one).rowsOf('hosts')[0]).toMatchObject({ sequence: 2, head: JSON.stringify(head) });
    const proof = { kind: 'RANK', head: SIGNED, against: null };
    const suspended = ['HostStateChanged', { ...state('a', 'SUSPENDED')[1], proof }] as const;
    const caught = fold(...one, suspended).rowsOf('hosts')[0];
    expect(caught).toMatchObject({ sequence: 0, head: null, proof: JSON.stringify(proof), proven_at: AT });
    const back = fold(...one, suspended, state('a', 'ACTIVE')).rowsOf('hosts')[0];
    expect(back).toMatchObject({ proof: null, proven_at: null });
  });

  const lineOf = (line: number, version: number, ...names: string[]) =>
    ['ReplicationPolicySet', { ...policy(version, 1, ...names)[1], line, holes: [2] }] as const;
});

describe('an acknowledgement of protocol 1', () => {
  const old = (hosts: JsonObject[]) => ({
    ...recorded('ReplicasAcknowledged', { origin: 'o', policyVersion: 1, writerEpoch: 3, hosts, quorumSequence: 2 }),
  });

  it('counts only for its sequences', () => {
    const { data, metadata } = upcast(old([{ host: 'a', sequence: 2, head: { tag: 'head/v1', epoch: 3 } }]));
    expect(metadata.schemaVersion).toBe(2);
    const { progress, rowsOf } = fold(policy(1, 1, 'a', 'b'), MISSION, ['ReplicasAcknowledged', data]);
    expect(progress).toMatchObject({ quorum: 2, quorum_epoch: 0, writer_epoch: 3, elected_epoch: 0 });
    expect(rowsOf('hosts')[0]).toMatchObject({ sequence: 2, head: null });
  });
});

/** An event of schema version 1. */
function recorded(type: EventType, data: JsonObject): RecordedEvent {
  const metadata = { at: AT, actor: 'a', correlationId: 'c', causationId: 'c', schemaVersion: 1 };
  const place = { stream: 's', revision: 0n, position: 10n, recordedAt: AT };
  return { id: 'event', type, etype: ETYPES[type], data, metadata, ...place };
}
