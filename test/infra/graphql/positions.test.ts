import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdBack } from '../../support/hold-back.js';
import { TestNode, type Untyped } from '../../support/node.js';

const UNKNOWN = '019b8d5e-0000-7000-8000-000000000000';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const MISSION = 'query ($id: ID!, $at: Position) { mission(id: $id, at: $at) { title position } }';
/** Every query that takes `at:`. */
const AT = [
  MISSION,
  'query ($id: ID!, $at: Position) { task(id: $id, at: $at) { id } }',
  'query ($id: ID!, $at: Position) { job(id: $id, at: $at) { id } }',
  'query ($at: Position) { missions(at: $at) { totalCount } }',
  'query ($at: Position) { jobs(at: $at) { totalCount } }',
] as const;
const numberOf = (position: string): number => Number(position.split(':')[1]);

describe('a query at the position of a change', () => {
  it('shows the change, although the mutation did not wait for it', async () => {
    const id = await node.newMission();
    for (let i = 0; i < 50; i += 1) {
      const title = `Title ${i}`;
      const { position, durability } = await node.mutate('updateMission', { id, title }, { consistency: 'APPENDED' });
      expect(durability).toBe('APPENDED');
      expect((await node.gql(MISSION, { id, at: position })).mission).toEqual({ title, position });
    }
  });

  it('shows it in lists as well', async () => {
    const missionId = await node.newMission();
    const taskId = await node.newTask(missionId);
    const made = [];
    for (let i = 0; i < 10; i += 1) {
      const { job, position } = await node.mutate('createJob', { taskId }, { consistency: 'APPENDED' });
      made.unshift({ node: { id: job.id } });
      const { jobs } = await node.gql(
        'query ($taskId: ID, $at: Position) { jobs(filter: { taskId: $taskId }, at: $at) { edges { node { id } } } }',
        { taskId, at: position },
      );
      expect(jobs.edges).toEqual(made);
    }
  });

  it('shows later changes too', async () => {
    const id = await node.newMission();
    const { position } = await node.mutate('updateMission', { id, title: 'First' });
    const later = await node.mutate('updateMission', { id, title: 'Second' });
    const shown = { title: 'Second', position: later.position };
    expect((await node.gql(MISSION, { id, at: position })).mission).toEqual(shown);
    expect((await node.gql(MISSION, { id, at: null })).mission).toEqual(shown);
  });

  it('shows the same after a restart', async () => {
    const { mission, position } = await node.mutate('createMission', { title: 'Kept' }, { consistency: 'APPENDED' });
    await node.restart();
    expect((await node.gql(MISSION, { id: mission.id, at: position })).mission).toEqual({ title: 'Kept', position });
  });
});

describe('a field at a position', () => {
  it('shows the change, although another field of the document has read the row before', async () => {
    const release = await holdBack(node);
    const { mission, position } = await node.mutate('createMission', { title: 'New' }, { consistency: 'APPENDED' });
    const both = node.gql(
      `query ($id: ID!, $at: Position) {
        before: mission(id: $id) { title jobCounts { pending } }
        after: mission(id: $id, at: $at) { title jobCounts { pending } }
      }`,
      { id: mission.id, at: position },
    );
    expect((await node.gql(MISSION, { id: mission.id })).mission).toBeNull();
    await release();
    expect(await both).toEqual({ before: null, after: { title: 'New', jobCounts: { pending: 0 } } });
  });
});

describe('several mutations of a document', () => {
  it('each show their own change', async () => {
    const taskId = await node.newTask(await node.newMission());
    const create = (alias: string) =>
      `${alias}: createJob(input: { taskId: $taskId }) { ... on CreateJobPayload { job { mission { jobCounts { pending } } } } }`;
    const data = await node.gql(`mutation ($taskId: ID!) { ${['a', 'b', 'c'].map(create).join(' ')} }`, { taskId });
    const pending = Object.values<Untyped>(data).map(({ job }): number => job.mission.jobCounts.pending);
    expect(pending).toEqual([1, 2, 3]);
  });
});

describe('a query without a position', () => {
  it('shows a change that its mutation waited for', async () => {
    const id = await node.newMission();
    for (let i = 0; i < 20; i += 1) {
      const title = `Title ${i}`;
      const { position, durability } = await node.mutate('updateMission', { id, title });
      expect(durability).toBe('PROJECTED');
      expect((await node.gql(MISSION, { id })).mission).toEqual({ title, position });
    }
  });
});

describe('positions', () => {
  it('increase with every change, and name their log', async () => {
    const positions: string[] = [];
    const missionId = await node.newMission();
    for (let i = 0; i < 10; i += 1) {
      positions.push((await node.mutate('updateMission', { id: missionId, title: `Title ${i}` })).position);
      positions.push((await node.mutate('createTask', { missionId, name: 'A task' })).position);
    }
    const numbers = positions.map(numberOf);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(new Set(numbers).size).toBe(20);
    expect(new Set(positions.map((position) => position.split(':')[0]))).toEqual(new Set([node.services.log.logId]));
  });

  it('are the positions of the events of the changes', async () => {
    const { mission, position } = await node.mutate('createMission', { title: 'Made' });
    const changed = await node.mutate('updateMission', { id: mission.id, title: 'Changed' });
    const events = await node.eventsOf(`mission-${mission.id}`);
    expect(events.map((event) => event.position)).toEqual([position, changed.position]);
    expect(changed.mission.position).toBe(changed.position);
  });

  it('differ between concurrent changes', async () => {
    const results = await Promise.all(Array.from({ length: 30 }, () => node.mutate('createMission', { title: 'One' })));
    expect(new Set(results.map(({ position }): string => position)).size).toBe(30);
  });
});

describe('a position', () => {
  const expectRefused = async (at: string, message: RegExp) => {
    for (const query of AT) {
      const refusal = await node.refusal(query, query.includes('$id') ? { id: UNKNOWN, at } : { at });
      expect(refusal.code).toBe('POSITION_UNKNOWN');
      expect(refusal.message).toMatch(message);
      expect(refusal.message.length).toBeLessThan(300);
    }
    const after = { code: 'POSITION_UNKNOWN', message: expect.stringMatching(message) };
    expect(await node.refusal('query ($at: Position) { events(after: $at) { edges { cursor } } }', { at })).toEqual(
      after,
    );
  };

  it.each([
    ['nothing', ''],
    ['a bare number', '1'],
    ['no number', 'abc123:x'],
    ['negative', 'abc123:-1'],
    ['a number in another notation', 'abc123:0x10'],
    ['beyond every number', `abc123:${'9'.repeat(20)}`],
    ['of a log with a long name', 'abc1234:1'],
    ['in spaces', ' abc123:1 '],
    ['very long', 'a'.repeat(100_000)],
  ])('that is %s is refused', async (_what, at) => {
    await expectRefused(at, /is not a position\. Use one that a mutation, query or subscription returned\.$/);
  });

  it('of another log is refused, although its number exists in this log', async () => {
    const { position } = await node.mutate('createMission', { title: 'Here' });
    const foreign = `zzzzz0:${numberOf(position)}`;
    await expectRefused(foreign, /belongs to another log; .* read again without a position\.$/);
  });

  it('beyond the end of the log is refused', async () => {
    const head = await node.services.log.head();
    await expectRefused(node.services.token(head + 1n), /is beyond the end of this log\. Discard it/);
    await expectRefused(node.services.token(2n ** 62n), /is beyond the end of this log/);
  });

  it('at the beginning or the end of the log is valid', async () => {
    for (const position of [0n, await node.services.log.head()]) {
      const at = node.services.token(position);
      for (const query of AT) await node.gql(query, query.includes('$id') ? { id: UNKNOWN, at } : { at });
    }
  });
});

describe('read models that are held back', () => {
  it('time out a query at a position that they have not reached, and a mutation returns APPENDED', async () => {
    const id = await node.newMission({ title: 'Before' });
    const release = await holdBack(node);
    const { position } = await node.mutate('updateMission', { id, title: 'After' }, { consistency: 'APPENDED' });
    const projected = node.mutate('updateMission', { id, title: 'Much later' });
    const message = `^The read models have not reached ${position} within 5 s; they are at .*\\. Try again, or send the query without`;
    expect(await node.refusal(MISSION, { id, at: position })).toEqual({
      code: 'CONSISTENCY_TIMEOUT',
      message: expect.stringMatching(new RegExp(message)),
    });
    expect((await node.gql(MISSION, { id })).mission.title).toBe('Before');
    const appended = await projected;
    expect(appended).toMatchObject({ durability: 'APPENDED', mission: { title: 'Much later', revision: 2 } });
    await release();
    const shown = { title: 'Much later', position: appended.position };
    expect((await node.gql(MISSION, { id, at: appended.position })).mission).toEqual(shown);
  });

  it('delay a query, which is answered when they continue', async () => {
    const id = await node.newMission();
    const release = await holdBack(node);
    const { position } = await node.mutate('updateMission', { id, title: 'Waited for' }, { consistency: 'APPENDED' });
    const waiting = node.gql(MISSION, { id, at: position });
    await release();
    expect((await waiting).mission).toEqual({ title: 'Waited for', position });
  });
});
