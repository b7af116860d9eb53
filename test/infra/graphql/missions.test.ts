import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MISSION } from '../../support/documents.js';
import { TestNode, type Untyped } from '../../support/node.js';

const QUERY = `query ($id: ID!, $at: Position) { mission(id: $id, at: $at) { ${MISSION} } }`;
const UNKNOWN = '01890000-0000-7000-8000-000000000000';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const shown = async (id: string, at?: string) => (await node.gql(QUERY, { id, at })).mission;
const streamOf = (id: string) => node.eventsOf(`mission-${id}`);

describe('createMission', () => {
  it('answers with the mission that a query then shows', async () => {
    const input = {
      title: 'Map the ridge',
      description: 'All of it',
      metadata: { a: [1, { b: null }] },
      tags: ['x', 'y'],
    };
    const result = await node.mutate('createMission', input);
    expect(result).toMatchObject({ __typename: 'CreateMissionPayload', durability: 'PROJECTED' });
    expect(result.mission).toMatchObject({ ...input, status: 'OPEN', closedReason: null, revision: 0 });
    expect(result.mission.position).toBe(result.position);
    expect(await shown(result.mission.id)).toEqual(result.mission);
  });

  it('waits for the read models where its consistency is null', async () => {
    const { createMission } = await node.gql(
      'mutation { createMission(input: { title: "T" }, consistency: null) { ... on CreateMissionPayload { durability } } }',
    );
    expect(createMission).toEqual({ durability: 'PROJECTED' });
  });

  it('uses defaults for fields that are null or left out', async () => {
    const bare = { description: '', metadata: {}, tags: [] };
    const { mission } = await node.mutate('createMission', { title: 'Bare' });
    expect(mission).toMatchObject(bare);
    const nulls = { title: 'Nulls', description: null, metadata: null, tags: null, idempotencyKey: null };
    expect((await node.mutate('createMission', nulls)).mission).toMatchObject(bare);
  });

  it('answers with the requested durability, or the highest that is available', async () => {
    const appended = await node.mutate('createMission', { title: 'A' }, { consistency: 'APPENDED' });
    expect(appended.durability).toBe('APPENDED');
    expect(await shown(appended.mission.id, appended.position)).toEqual(appended.mission);
    const replicated = await node.mutate('createMission', { title: 'R' }, { consistency: 'REPLICATED' });
    expect(replicated.durability).toBe('PROJECTED');
  });

  it('names every invalid field', async () => {
    const tags = ['ok', 'x'.repeat(65), 'ok'];
    const result = await node.mutate('createMission', {
      title: ' ',
      description: 'd'.repeat(10_001),
      metadata: { big: 'm'.repeat(65_536) },
      tags,
    });
    expect(result).toMatchObject({ __typename: 'InvalidInput', code: 'INVALID_INPUT' });
    const paths = result.fields.map(({ path }: { path: string }): string => path);
    expect(paths).toEqual(['title', 'description', 'metadata', 'tags.1', 'tags']);
  });

  it.each([[[1]], ['text'], [5], [true]])('refuses metadata that is no object: %j', async (metadata) => {
    const result = await node.mutate('createMission', { title: 'T', metadata });
    expect(result).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'metadata' }] });
  });
});

describe('createMission with an idempotency key', () => {
  it('returns the same result again, and records one event', async () => {
    const input = { title: 'Once', tags: ['a'], idempotencyKey: 'create-once' };
    const first = await node.mutate('createMission', input);
    expect(await node.mutate('createMission', input)).toEqual(first);
    expect(await streamOf(first.mission.id)).toHaveLength(1);
  });

  it('returns the first result, although the mission has changed since', async () => {
    const input = { title: 'Then', idempotencyKey: 'create-then' };
    const first = await node.mutate('createMission', input);
    await node.mutate('updateMission', { id: first.mission.id, title: 'Now' });
    expect(await node.mutate('createMission', input)).toEqual(first);
    expect((await shown(first.mission.id)).title).toBe('Now');
  });

  it('creates one mission for many concurrent requests, and returns it to all', async () => {
    const input = { title: 'At once', idempotencyKey: 'create-at-once' };
    const results = await Promise.all(Array.from({ length: 20 }, () => node.mutate('createMission', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(results[0].mission.id)).toHaveLength(1);
    expect(await shown(results[0].mission.id)).toEqual(results[0].mission);
  });

  it('refuses another input', async () => {
    await node.mutate('createMission', { title: 'One', idempotencyKey: 'create-other' });
    const result = await node.mutate('createMission', { title: 'Other', idempotencyKey: 'create-other' });
    expect(result).toMatchObject({
      __typename: 'IdempotencyMismatch',
      code: 'IDEMPOTENCY_MISMATCH',
      key: 'create-other',
    });
  });

  it('refuses all but one of several concurrent inputs', async () => {
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        node.mutate('createMission', { title: `No ${i}`, idempotencyKey: 'create-race' }),
      ),
    );
    const made = results.filter(({ __typename }) => __typename === 'CreateMissionPayload');
    expect(made).toHaveLength(1);
    expect(results.filter(({ __typename }) => __typename === 'IdempotencyMismatch')).toHaveLength(9);
    expect(await shown(made[0].mission.id)).toEqual(made[0].mission);
  });

  it('is a different command for a different mutation', async () => {
    const idempotencyKey = 'shared-by-commands';
    const { mission } = await node.mutate('createMission', { title: 'Shared', idempotencyKey });
    const { task } = await node.mutate('createTask', { missionId: mission.id, name: 'Shared', idempotencyKey });
    const updated = await node.mutate('updateMission', { id: mission.id, title: 'Shared too', idempotencyKey });
    expect(updated.mission).toMatchObject({ title: 'Shared too', revision: 1 });
    expect(task.id).not.toBe(mission.id);
  });

  it.each([[''], ['k'.repeat(201)], ['\ud800']])('refuses the key %j', async (idempotencyKey) => {
    const result = await node.mutate('createMission', { title: 'Key', idempotencyKey });
    expect(result).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'idempotencyKey' }] });
  });

  it('names the invalid fields, as without a key', async () => {
    const deep: unknown = JSON.parse(`${'{"a":'.repeat(1_000)}1${'}'.repeat(1_000)}`);
    for (const [path, input] of [
      ['title', { title: '\udc00' }],
      ['metadata', { title: 'Deep', metadata: deep }],
    ] as const) {
      const result = await node.mutate('createMission', { ...input, idempotencyKey: `invalid-${path}` });
      expect(result).toMatchObject({ __typename: 'InvalidInput', fields: [{ path }] });
    }
  });
});

describe('updateMission', () => {
  it('changes what is given and leaves the rest', async () => {
    const id = await node.newMission({ title: 'Old', description: 'Kept', metadata: { kept: true }, tags: ['kept'] });
    const result = await node.mutate('updateMission', { id, title: 'New', description: null });
    expect(result).toMatchObject({ __typename: 'UpdateMissionPayload', durability: 'PROJECTED' });
    expect(result.mission).toMatchObject({
      title: 'New',
      description: 'Kept',
      metadata: { kept: true },
      tags: ['kept'],
      revision: 1,
    });
    expect(await shown(id)).toEqual(result.mission);
    const emptied = await node.mutate('updateMission', { id, description: '', metadata: {}, tags: [] });
    expect(emptied.mission).toMatchObject({ title: 'New', description: '', metadata: {}, tags: [], revision: 2 });
    expect(await shown(id)).toEqual(emptied.mission);
  });

  it('applies every one of fifty concurrent changes', async () => {
    const id = await node.newMission();
    const titles = Array.from({ length: 50 }, (_, n) => `Title ${n}`);
    const results = await Promise.all(titles.map((title) => node.mutate('updateMission', { id, title })));
    expect(new Set(results.map(({ __typename }) => __typename))).toEqual(new Set(['UpdateMissionPayload']));
    const events = await streamOf(id);
    expect(
      events
        .slice(1)
        .map(({ data }) => data.title)
        .sort(),
    ).toEqual(titles.sort());
  });

  it('records nothing when nothing changes', async () => {
    const id = await node.newMission({ title: 'Same', metadata: { a: 1, b: 2 } });
    const before = await shown(id);
    for (const input of [{ id }, { id, title: 'Same', metadata: { b: 2, a: 1 } }, { id, title: null, tags: null }]) {
      const result = await node.mutate('updateMission', input);
      expect(result).toMatchObject({ __typename: 'UpdateMissionPayload', position: before.position, mission: before });
    }
    expect(await streamOf(id)).toHaveLength(1);
  });

  it('refuses a revision that is not the current one', async () => {
    const id = await node.newMission();
    expect((await node.mutate('updateMission', { id, title: 'One', expectedRevision: 0 })).mission.revision).toBe(1);
    for (const expectedRevision of [0, 2, -1]) {
      const result = await node.mutate('updateMission', { id, title: 'Two', expectedRevision });
      expect(result).toMatchObject({
        __typename: 'ConcurrencyConflict',
        code: 'CONCURRENCY_CONFLICT',
        expectedRevision: String(expectedRevision),
        actualRevision: '1',
      });
    }
    expect((await shown(id)).title).toBe('One');
  });

  it('accepts one of many concurrent changes with the same revision', async () => {
    const id = await node.newMission();
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => node.mutate('updateMission', { id, title: `By ${i}`, expectedRevision: 0 })),
    );
    const won = results.filter(({ __typename }) => __typename === 'UpdateMissionPayload');
    expect(won).toHaveLength(1);
    expect(await shown(id)).toEqual(won[0].mission);
  });

  it('accepts all of many concurrent changes without a revision, one after another', async () => {
    const id = await node.newMission();
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => node.mutate('updateMission', { id, title: `By ${i}` })),
    );
    const revisions = results.map(({ mission }): number => mission.revision);
    expect(revisions.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('returns the same result for the same key, although other changes were made since', async () => {
    const id = await node.newMission();
    const input = { id, title: 'Keyed', expectedRevision: 0, idempotencyKey: 'update-keyed' };
    const first = await node.mutate('updateMission', input);
    await node.mutate('updateMission', { id, title: 'Between' });
    expect(await node.mutate('updateMission', input)).toEqual(first);
    expect(await streamOf(id)).toHaveLength(3);
    const other = await node.mutate('updateMission', { ...input, title: 'Different' });
    expect(other.__typename).toBe('IdempotencyMismatch');
  });

  it('makes one change for many concurrent requests with one key', async () => {
    const id = await node.newMission();
    const input = { id, title: 'Keyed at once', idempotencyKey: 'update-at-once' };
    const results = await Promise.all(Array.from({ length: 20 }, () => node.mutate('updateMission', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(id)).toHaveLength(2);
    expect(await shown(id)).toEqual(results[0].mission);
  });

  it('returns a problem for an unknown mission and for an invalid field', async () => {
    expect(await node.mutate('updateMission', { id: UNKNOWN, title: 'T' })).toMatchObject({
      __typename: 'NotFound',
      code: 'NOT_FOUND',
      entity: 'Mission',
      id: UNKNOWN,
    });
    const id = await node.newMission();
    const result = await node.mutate('updateMission', { id, title: 't'.repeat(201) });
    expect(result).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'title' }] });
    const strange = await node.mutate('updateMission', { id: 'no such id', title: 'T' });
    expect(strange).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'id' }] });
  });
});

describe('closeMission', () => {
  it('closes a mission permanently', async () => {
    const id = await node.newMission();
    const result = await node.mutate('closeMission', { id, outcome: 'COMPLETED', reason: 'All done' });
    expect(result).toMatchObject({ __typename: 'CloseMissionPayload', durability: 'PROJECTED' });
    expect(result.mission).toMatchObject({ status: 'COMPLETED', closedReason: 'All done', revision: 1 });
    expect(await shown(id)).toEqual(result.mission);
    const closed = { __typename: 'MissionIsClosed', code: 'MISSION_CLOSED', missionId: id };
    expect(await node.mutate('closeMission', { id, outcome: 'FAILED' })).toMatchObject(closed);
    expect(await node.mutate('updateMission', { id, title: 'Too late' })).toMatchObject(closed);
    expect(await node.mutate('createTask', { missionId: id, name: 'Too late' })).toMatchObject(closed);
  });

  it.each(['COMPLETED', 'FAILED', 'CANCELLED'])('closes as %s', async (outcome) => {
    const id = await node.newMission();
    expect((await node.mutate('closeMission', { id, outcome })).mission).toMatchObject({
      status: outcome,
      closedReason: '',
    });
  });

  it('returns each problem of its union', async () => {
    const id = await node.newMission();
    const end = { id, outcome: 'COMPLETED' };
    expect((await node.mutate('closeMission', { ...end, id: UNKNOWN })).__typename).toBe('NotFound');
    expect((await node.mutate('closeMission', { ...end, expectedRevision: 3 })).__typename).toBe('ConcurrencyConflict');
    const long = await node.mutate('closeMission', { ...end, reason: 'r'.repeat(1_001) });
    expect(long).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'reason' }] });
    const first = await node.mutate('closeMission', { ...end, idempotencyKey: 'close' });
    expect(await node.mutate('closeMission', { ...end, idempotencyKey: 'close' })).toEqual(first);
    const other = await node.mutate('closeMission', { ...end, outcome: 'FAILED', idempotencyKey: 'close' });
    expect(other.__typename).toBe('IdempotencyMismatch');
  });
});

describe('a mission', () => {
  it('is null when it does not exist', async () => {
    expect(await shown(UNKNOWN)).toBeNull();
    expect(await shown('')).toBeNull();
  });

  it('shows its tasks, newest first, and counts its jobs', async () => {
    const id = await node.newMission();
    const taskIds = [await node.newTask(id), await node.newTask(id), await node.newTask(id)];
    await node.newJob(taskIds[0] ?? '');
    const { mission } = await node.gql(
      `query ($id: ID!) { mission(id: $id) {
        tasks(first: 2) { totalCount edges { node { id jobs { totalCount } } } pageInfo { hasNextPage } }
        jobCounts { pending dispatched completed failed cancelled }
      } }`,
      { id },
    );
    expect(mission.jobCounts).toEqual({ pending: 1, dispatched: 0, completed: 0, failed: 0, cancelled: 0 });
    expect(mission.tasks).toMatchObject({ totalCount: 3, pageInfo: { hasNextPage: true } });
    expect(mission.tasks.edges[0].node).toEqual({ id: taskIds[2], jobs: { totalCount: 0 } });
  });

  it('is found by node(id), like tasks and jobs, which are all types of Node', async () => {
    const missionId = await node.newMission();
    const taskId = await node.newTask(missionId);
    const jobId = await node.newJob(taskId);
    const nodes = [
      [missionId, 'Mission'],
      [taskId, 'Task'],
      [jobId, 'Job'],
    ] as const;
    const { __type } = await node.gql('{ __type(name: "Node") { possibleTypes { name } } }');
    const names = __type.possibleTypes.map(({ name }: Untyped): string => name);
    expect(names.toSorted()).toEqual(nodes.map(([, type]) => type).toSorted());
    for (const [id, type] of nodes) {
      expect((await node.gql('query ($id: ID!) { node(id: $id) { __typename id } }', { id })).node).toEqual({
        __typename: type,
        id,
      });
    }
    expect((await node.gql('query ($id: ID!) { node(id: $id) { id } }', { id: UNKNOWN })).node).toBeNull();
  });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
