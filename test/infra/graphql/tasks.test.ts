import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TASK } from '../../support/documents.js';
import { TestNode } from '../../support/node.js';

const QUERY = `query ($id: ID!, $at: Position) { task(id: $id, at: $at) { ${TASK} } }`;
const UNKNOWN = '01890000-0000-7000-8000-000000000000';

let node: TestNode;
let missionId: string;
beforeAll(async () => {
  node = await TestNode.start();
  missionId = await node.newMission();
});
afterAll(() => node.stop());

const shown = async (id: string, at?: string) => (await node.gql(QUERY, { id, at })).task;
const streamOf = (id: string) => node.eventsOf(`task-${id}`);

describe('createTask', () => {
  it('answers with the task that a query then shows', async () => {
    const input = { missionId, name: 'Survey', description: 'By foot', kind: 'survey', params: { area: [1, 2] } };
    const result = await node.mutate('createTask', input);
    expect(result).toMatchObject({ __typename: 'CreateTaskPayload', durability: 'PROJECTED' });
    expect(result.task).toMatchObject({ ...input, revision: 0, position: result.position });
    expect(await shown(result.task.id)).toEqual(result.task);
  });

  it('uses defaults for fields that are null or left out', async () => {
    const nulls = { description: null, kind: null, params: null };
    for (const input of [{}, nulls]) {
      const { task } = await node.mutate('createTask', { missionId, name: 'Bare', ...input });
      expect(task).toMatchObject({ description: '', kind: 'general', params: {} });
    }
  });

  it('answers with the requested durability, or the highest that is available', async () => {
    const input = { missionId, name: 'Durable' };
    const appended = await node.mutate('createTask', input, { consistency: 'APPENDED' });
    expect(appended.durability).toBe('APPENDED');
    expect(await shown(appended.task.id, appended.position)).toEqual(appended.task);
    expect((await node.mutate('createTask', input, { consistency: 'REPLICATED' })).durability).toBe('PROJECTED');
  });

  it('names every invalid field', async () => {
    const input = { name: 'n'.repeat(201), description: '\ud800', kind: '', params: { big: 'p'.repeat(65_536) } };
    const result = await node.mutate('createTask', { missionId, ...input });
    expect(result.__typename).toBe('InvalidInput');
    const paths = result.fields.map(({ path }: { path: string }): string => path);
    expect(paths).toEqual(['name', 'description', 'kind', 'params']);
    const list = await node.mutate('createTask', { missionId, name: 'List', params: [] });
    expect(list).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'params' }] });
  });

  it('requires a mission that exists and is open', async () => {
    const missing = await node.mutate('createTask', { missionId: UNKNOWN, name: 'T' });
    expect(missing).toMatchObject({ __typename: 'NotFound', entity: 'Mission', id: UNKNOWN });
    const strange = await node.mutate('createTask', { missionId: '../etc', name: 'T' });
    expect(strange).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'missionId' }] });
    const closed = await node.newMission();
    await node.mutate('closeMission', { id: closed, outcome: 'CANCELLED' });
    const late = await node.mutate('createTask', { missionId: closed, name: 'T' });
    expect(late).toMatchObject({ __typename: 'MissionIsClosed', missionId: closed });
  });

  it('creates one task per idempotency key, even after its mission was closed', async () => {
    const owner = await node.newMission();
    const input = { missionId: owner, name: 'Keyed', idempotencyKey: 'task' };
    const results = await Promise.all(Array.from({ length: 20 }, () => node.mutate('createTask', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(results[0].task.id)).toHaveLength(1);
    await node.mutate('closeMission', { id: owner, outcome: 'COMPLETED' });
    expect(await node.mutate('createTask', input)).toEqual(results[0]);
    const other = await node.mutate('createTask', { ...input, missionId });
    expect(other).toMatchObject({ __typename: 'IdempotencyMismatch', key: 'task' });
  });
});

describe('updateTask', () => {
  it('changes what is given and leaves the rest', async () => {
    const id = await node.newTask(missionId, { description: 'Kept', kind: 'kept', params: { kept: 1 } });
    const result = await node.mutate('updateTask', { id, name: 'New', kind: null });
    expect(result).toMatchObject({ __typename: 'UpdateTaskPayload', durability: 'PROJECTED' });
    expect(result.task).toMatchObject({ name: 'New', description: 'Kept', kind: 'kept', params: { kept: 1 } });
    expect(result.task).toMatchObject({ revision: 1, position: result.position });
    expect(await shown(id)).toEqual(result.task);
    const emptied = await node.mutate('updateTask', { id, description: '', params: {}, kind: 'other' });
    expect(emptied.task).toMatchObject({ name: 'New', description: '', params: {}, kind: 'other', revision: 2 });
    expect(await shown(id)).toEqual(emptied.task);
  });

  it('records nothing when nothing changes', async () => {
    const id = await node.newTask(missionId, { name: 'Same', params: { a: 1, b: 2 } });
    const before = await shown(id);
    for (const input of [{ id }, { id, name: 'Same', params: { b: 2, a: 1 } }, { id, name: null }]) {
      const result = await node.mutate('updateTask', input);
      expect(result).toMatchObject({ position: before.position, task: before });
    }
    expect(await streamOf(id)).toHaveLength(1);
  });

  it('returns each problem of its union', async () => {
    const owner = await node.newMission();
    const id = await node.newTask(owner);
    expect(await node.mutate('updateTask', { id: UNKNOWN, name: 'T' })).toMatchObject({
      __typename: 'NotFound',
      entity: 'Task',
      id: UNKNOWN,
    });
    expect(await node.mutate('updateTask', { id, name: '' })).toMatchObject({
      __typename: 'InvalidInput',
      fields: [{ path: 'name' }],
    });
    expect(await node.mutate('updateTask', { id, name: 'T', expectedRevision: 4 })).toMatchObject({
      __typename: 'ConcurrencyConflict',
      expectedRevision: '4',
      actualRevision: '0',
    });
    const input = { id, name: 'Keyed', idempotencyKey: 'update' };
    const results = await Promise.all(Array.from({ length: 20 }, () => node.mutate('updateTask', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(id)).toHaveLength(2);
    expect((await node.mutate('updateTask', { ...input, name: 'Other' })).__typename).toBe('IdempotencyMismatch');
    await node.mutate('closeMission', { id: owner, outcome: 'FAILED' });
    expect(await node.mutate('updateTask', { id, name: 'Late' })).toMatchObject({
      __typename: 'MissionIsClosed',
      missionId: owner,
    });
  });
});

it('shows its mission and its jobs', async () => {
  const id = await node.newTask(missionId);
  const jobId = await node.newJob(id);
  const { task } = await node.gql(
    'query ($id: ID!) { task(id: $id) { mission { id } jobs { totalCount edges { node { id task { id } mission { id } } } } } }',
    { id },
  );
  expect(task).toEqual({
    mission: { id: missionId },
    jobs: { totalCount: 1, edges: [{ node: { id: jobId, task: { id }, mission: { id: missionId } } }] },
  });
  expect(await shown(UNKNOWN)).toBeNull();
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
