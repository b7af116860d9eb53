import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { newEvent } from '../../support/events.js';
import { holdBack } from '../../support/hold-back.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { keptByAll, settledCore, statusOf, WAIT } from '../../support/offgrid/core.js';
import { newHost } from '../../support/offgrid/host.js';

const OUTBOX = `query ($first: Int, $after: String, $filter: OutboxFilter, $at: Position) {
  outbox(first: $first, after: $after, filter: $filter, at: $at) {
    totalCount pageInfo { hasNextPage endCursor }
    edges { cursor node { id key etype status requiredAcks acks position eventId bytes createdAt completedAt } }
  }
}`;

/** A page of the outbox, with only the entries. */
async function entriesOf(node: TestNode, variables: object = {}) {
  const { edges, ...rest } = (await node.gql(OUTBOX, variables)).outbox;
  return { ...rest, entries: edges.map((edge: Untyped): Untyped => edge.node) };
}

describe('outbox', () => {
  it('shows every replicated event, newest first, with its status', async () => {
    const [up, down] = [await newHost(), await newHost()];
    const node = await settledCore([up, down]);
    await down.close();
    const missionId = await node.newMission();
    await expect.poll(async () => (await entriesOf(node)).entries[0]?.acks, WAIT).toBe(1);
    const { entries, totalCount } = await entriesOf(node);
    expect(totalCount).toBe(3);
    const [event] = await node.eventsOf(`mission-${missionId}`);
    const common = { requiredAcks: 2, bytes: expect.any(Number), eventId: expect.any(String) };
    const times = { createdAt: expect.any(String), position: expect.any(String) };
    const done = { ...common, ...times, status: 'COMPLETED', acks: 2, completedAt: expect.stringMatching(/Z$/) };
    expect(entries).toEqual([
      {
        ...common,
        ...times,
        id: '3',
        key: `mission-${missionId}`,
        etype: 10,
        status: 'PENDING',
        acks: 1,
        completedAt: null,
        position: event?.position,
      },
      { ...done, id: '2', key: 'replication-core-v2', etype: 20 },
      { ...done, id: '1', key: 'keyring-core-v2', etype: 23 },
    ]);
    for (const { completedAt, createdAt, bytes } of entries.slice(1)) {
      expect(completedAt > createdAt).toBe(true);
      expect(bytes).toBeGreaterThan(100);
    }
  });

  it('contains exactly the replicated events of the log', async () => {
    const node = await settledCore([await newHost()]);
    await node.newTask(await node.newMission());
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(4));
    const { events } = await node.gql('{ events { edges { node { id etype position } } } }');
    const replicated = events.edges.map((edge: Untyped): Untyped => edge.node).filter((e: Untyped) => e.etype !== 22);
    const { entries } = await entriesOf(node);
    const shown = entries.map(({ eventId, etype, position }: Untyped) => ({ id: eventId, etype, position }));
    expect(shown.reverse()).toEqual(replicated);
  });
});

describe('the view of the outbox in its file', () => {
  it('shows the same, and counts the hosts of the policy in force', async () => {
    const hosts = [await newHost(), await newHost(), await newHost()];
    const node = await settledCore(hosts);
    const { id } = hosts[2]?.identity ?? {};
    // It is refused until the others show that they have everything that was at quorum.
    const retire = 'mutation ($id: ID!) { setHostState(id: $id, state: RETIRED) { __typename } }';
    await expect
      .poll(async () => (await node.gql(retire, { id })).setHostState.__typename, WAIT)
      .toBe('SetHostStatePayload');
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ policyVersion: 2, ...keptByAll(4) });
    const file = await Connection.open(corePaths(node.folder).outbox, 'read');
    onTestFinished(() => file.close());
    const columns =
      'key, etype, lower(status) AS status, required_acks AS requiredAcks, acks, event_id AS eventId, bytes, created_at AS createdAt, completed_at AS completedAt';
    const rows = await file.all(`SELECT CAST(id AS TEXT) AS id, ${columns} FROM outbox ORDER BY outbox.id DESC`);
    const { entries } = await entriesOf(node);
    expect(rows).toEqual(
      entries.map(({ position: _, ...entry }: Untyped) => ({ ...entry, status: entry.status.toLowerCase() })),
    );
    expect(entries.map(({ acks }: Untyped) => acks)).toEqual([2, 2, 2, 2]);
  });
});

describe('pages of the outbox', () => {
  let node: TestNode;
  let missionId: string;
  beforeAll(async () => {
    node = await TestNode.start();
    missionId = await node.newMission();
    for (let i = 0; i < 10; i += 1) await node.newTask(missionId);
    await node.services.outbox.reaches(await node.services.log.head(), 5_000);
  });
  afterAll(() => node.stop());

  it('follow one another without a gap, although entries are added meanwhile', async () => {
    const seen: number[] = [];
    let after: string | null = null;
    do {
      const { pageInfo, entries } = await entriesOf(node, { first: 4, after });
      seen.push(...entries.map(({ id }: Untyped) => Number(id)));
      after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
      const { position } = await node.mutate('updateMission', { id: missionId, description: `${seen.length}` });
      await entriesOf(node, { at: position });
    } while (after !== null);
    expect(seen).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  });

  it('contain and count only the entries that match a filter', async () => {
    const head = (await statusOf(node)).headSequence;
    const page = async (filter: object) => {
      const { entries, totalCount } = await entriesOf(node, { first: 100, filter });
      expect(entries).toHaveLength(totalCount);
      return totalCount;
    };
    expect(await page({})).toBe(head);
    expect(await page({ etypes: [12] })).toBe(10);
    expect(await page({ etypes: [10, 12] })).toBe(11);
    expect(await page({ etypes: [] })).toBe(0);
    expect(await page({ key: `mission-${missionId}`, etypes: [10] })).toBe(1);
    expect(await page({ key: 'mission-none' })).toBe(0);
    expect(await page({ status: 'PENDING' })).toBe(head);
    expect(await page({ status: 'COMPLETED' })).toBe(0);
  });

  it('are refused for an invalid size or cursor', async () => {
    expect(await node.refusal(OUTBOX, { first: 101 })).toMatchObject({ code: 'BAD_USER_INPUT' });
    expect(await node.refusal(OUTBOX, { filter: { etypes: Array.from({ length: 101 }, () => 10) } })).toMatchObject({
      code: 'BAD_USER_INPUT',
    });
    const { missions } = await node.gql('{ missions { edges { cursor } } }');
    const other = (text: string) => Buffer.from(text).toString('base64url');
    for (const after of [
      missions.edges[0].cursor,
      'garbage',
      other('zzzzzz outbox 3'),
      other(`${node.services.log.logId} outbox 0`),
      other(`${node.services.log.logId} outbox 1e3`),
    ]) {
      expect(await node.refusal(OUTBOX, { after })).toMatchObject({ code: 'CURSOR_INVALID' });
    }
  });

  it('wait for the position of a change', async () => {
    for (let i = 0; i < 20; i += 1) {
      const input = { id: missionId, title: `Title ${i}` };
      const { position } = await node.mutate('updateMission', input, { consistency: 'APPENDED' });
      expect((await entriesOf(node, { first: 1, at: position })).entries).toMatchObject([{ position }]);
    }
  });

  it('are refused at a position that a halted outbox does not reach, until it is resumed', async () => {
    const policy = newEvent({ type: 'ReplicationPolicySet', data: {} });
    await node.services.log.append('replication-core-v2', [policy], 'any');
    await expect.poll(async () => (await node.services.outbox.status()).state).toBe('HALTED');
    const { position, durability } = await node.mutate('updateMission', { id: missionId, title: 'Unseen' });
    expect(durability).toBe('PROJECTED');
    expect(await node.refusal(OUTBOX, { at: position })).toMatchObject({ code: 'CONSISTENCY_TIMEOUT' });
    expect(await node.fetch('/readyz')).toMatchObject({ status: 503, body: { reasons: ['outbox: HALTED'] } });
    await node.gql('mutation { resumeProjection(name: "outbox", skip: true) { ... on Problem { message } } }');
    expect((await entriesOf(node, { first: 1, at: position })).entries).toMatchObject([{ position }]);
  });
});

describe('an outbox of 200,000 events', () => {
  it('is paged, filtered and counted', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    await node.newMission();
    await node.services.outbox.reaches(await node.services.log.head(), 5_000);
    const file = await Connection.open(corePaths(node.folder).outbox, 'write');
    onTestFinished(() => file.close());
    await file.exec(`
      WITH RECURSIVE n(id) AS (SELECT 2 UNION ALL SELECT id + 1 FROM n WHERE id < 200000)
      INSERT INTO entries SELECT id, 'job-' || (id / 4), 14, 'event-' || id, 300, '2026-01-01T00:00:00.000Z', id FROM n;
      UPDATE progress SET head = 200000, quorum = 150000;
      INSERT INTO quorums SELECT id, '2026-01-01T00:00:01.000Z' FROM entries WHERE id % 100 = 0 AND id <= 150000;
    `);
    const after = Buffer.from(`${node.services.log.logId} outbox 100001`).toString('base64url');
    const shows = async (variables: object, expected: object) =>
      expect(await entriesOf(node, variables)).toMatchObject(expected);
    const first = 100;
    await shows({ first }, { totalCount: 200_000, entries: { 0: { id: '200000', status: 'PENDING' } } });
    await shows({ first, after }, { entries: { 0: { id: '100000', completedAt: '2026-01-01T00:00:01.000Z' } } });
    await shows({ first, filter: { status: 'PENDING' } }, { totalCount: 50_000 });
    await shows(
      { first, filter: { status: 'COMPLETED' } },
      { totalCount: 150_000, entries: { 0: { id: '150000', status: 'COMPLETED' } } },
    );
    await shows({ first, filter: { key: 'job-25000' } }, { totalCount: 4 });
    await shows({ first, filter: { key: 'job-25000', status: 'PENDING' } }, { totalCount: 0 });
    await shows({ first, filter: { etypes: [10] } }, { totalCount: 1, entries: [{ id: '1' }] });
  });
});

describe('Mission.replication', () => {
  const ASK = 'query ($id: ID!) { mission(id: $id) { replication { state pending acknowledged requiredAcks } } }';
  const of = async (node: TestNode, id: string): Promise<Untyped> => (await node.gql(ASK, { id })).mission.replication;

  it('is REPLICATED once a quorum has signed for all of its events, and PENDING again after another', async () => {
    const host = await newHost();
    const node = await settledCore([host]);
    const id = await node.newMission();
    await node.mutate('updateMission', { id, title: 'Second' }, { consistency: 'REPLICATED' });
    expect(await of(node, id)).toEqual({ state: 'REPLICATED', pending: 0, acknowledged: 2, requiredAcks: 1 });
    await host.close();
    await node.mutate('updateMission', { id, title: 'Third' });
    expect(await of(node, id)).toEqual({ state: 'PENDING', pending: 1, acknowledged: 2, requiredAcks: 1 });
  });

  it('is PENDING for a change that the outbox has not folded yet', async () => {
    const node = await settledCore([await newHost()]);
    const id = await node.newMission();
    await node.mutate('updateMission', { id, title: 'Second' }, { consistency: 'REPLICATED' });
    const release = await holdBack(node, 'outbox');
    await node.mutate('updateMission', { id, title: 'Third' });
    expect(await of(node, id)).toEqual({ state: 'PENDING', pending: 1, acknowledged: 2, requiredAcks: 1 });
    await release();
    await expect.poll(() => of(node, id), WAIT).toMatchObject({ state: 'REPLICATED', acknowledged: 3 });
  });

  it('is PENDING when replication is disabled', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    const id = await node.newMission();
    expect(await of(node, id)).toEqual({ state: 'PENDING', pending: 1, acknowledged: 0, requiredAcks: 0 });
  });

  it('for a hundred missions executes as many statements as for one', async () => {
    const node = await settledCore([await newHost()]);
    await Promise.all(Array.from({ length: 100 }, () => node.newMission()));
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(102));
    const asked = vi.spyOn(Connection.prototype, 'all');
    const statements = async (first: number) => {
      const query = 'query ($first: Int) { missions(first: $first) { edges { node { replication { state } } } } }';
      const before = asked.mock.calls.length;
      const { missions } = await node.gql(query, { first });
      expect(missions.edges).toEqual(
        Array.from({ length: first }, () => ({ node: { replication: { state: 'REPLICATED' } } })),
      );
      return asked.mock.calls.slice(before).filter(([sql]) => /from "(entries|progress|policies|hosts)"/.test(sql))
        .length;
    };
    expect(await statements(100)).toBe(await statements(1));
    asked.mockRestore();
  });
});
