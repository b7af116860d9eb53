import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestNode, type Untyped } from '../../support/node.js';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

describe('missions', () => {
  const found = async (filter: object | null): Promise<string[]> => {
    const { missions } = await node.gql(
      'query ($filter: MissionFilter) { missions(filter: $filter) { totalCount edges { node { title } } } }',
      { filter },
    );
    expect(missions.totalCount).toBe(missions.edges.length);
    return missions.edges.map(({ node: { title } }: Untyped): string => title);
  };

  beforeAll(async () => {
    await node.newMission({ title: 'North ridge', tags: ['survey', 'north'] });
    await node.newMission({ title: 'South RIDGE, 50%', tags: ['survey'] });
    const id = await node.newMission({ title: 'Valley_1', tags: ['Survey', "o'clock"] });
    await node.mutate('closeMission', { id, outcome: 'FAILED' });
  });

  it.each([
    ['nothing', null, ['Valley_1', 'South RIDGE, 50%', 'North ridge']],
    ['no part', {}, ['Valley_1', 'South RIDGE, 50%', 'North ridge']],
    ['a tag', { tag: 'survey' }, ['South RIDGE, 50%', 'North ridge']],
    ['a tag with a quote', { tag: "o'clock" }, ['Valley_1']],
    ['a part of a tag', { tag: 'surv' }, []],
    ['a status', { statuses: ['FAILED'] }, ['Valley_1']],
    ['several statuses', { statuses: ['FAILED', 'OPEN'] }, ['Valley_1', 'South RIDGE, 50%', 'North ridge']],
    ['no status', { statuses: [] }, []],
    ['a part of the title, in any case', { titleContains: 'rIdGe' }, ['South RIDGE, 50%', 'North ridge']],
    ['a percent sign, which is no wildcard', { titleContains: '%' }, ['South RIDGE, 50%']],
    ['an underscore, which is no wildcard', { titleContains: 'h_r' }, []],
    ['all of several parts', { tag: 'survey', titleContains: 'north', statuses: ['OPEN'] }, ['North ridge']],
  ])('are found by %s', async (_what, filter, titles) => {
    expect(await found(filter)).toEqual(titles);
  });
});

describe('jobs', () => {
  const named = new Map<string, string>();
  const ids = { missionId: '', otherMissionId: '', taskId: '', otherTaskId: '' };
  const found = async (filter: object | null): Promise<string[]> => {
    const { jobs } = await node.gql(
      'query ($filter: JobFilter) { jobs(filter: $filter) { totalCount edges { node { id } } } }',
      { filter },
    );
    expect(jobs.totalCount).toBe(jobs.edges.length);
    return jobs.edges.map(({ node: { id } }: Untyped): string => named.get(id) ?? id).toSorted();
  };

  beforeAll(async () => {
    ids.missionId = await node.newMission();
    ids.otherMissionId = await node.newMission();
    ids.taskId = await node.newTask(ids.missionId, { kind: 'scan' });
    ids.otherTaskId = await node.newTask(ids.otherMissionId, { kind: 'map' });
    named.set(await node.newJob(ids.taskId, { priority: 9 }), 'claimed scan');
    named.set(await node.newJob(ids.taskId), 'scan');
    named.set(await node.newJob(ids.taskId, { kind: 'map' }), 'map');
    named.set(await node.newJob(ids.otherTaskId), 'other map');
    await node.mutate('claimJobs', { worker: 'w-1', kinds: ['scan'] });
  });

  it.each([
    ['nothing', () => null, ['claimed scan', 'map', 'other map', 'scan']],
    ['their mission', () => ({ missionId: ids.missionId }), ['claimed scan', 'map', 'scan']],
    ['their task', () => ({ taskId: ids.otherTaskId }), ['other map']],
    ['a kind', () => ({ kinds: ['map'] }), ['map', 'other map']],
    ['no kind', () => ({ kinds: [] }), []],
    ['a status', () => ({ statuses: ['PENDING'] }), ['map', 'other map', 'scan']],
    ['their worker', () => ({ worker: 'w-1' }), ['claimed scan']],
    [
      'all of several parts',
      () => ({ missionId: ids.missionId, kinds: ['scan', 'map'], statuses: ['PENDING'] }),
      ['map', 'scan'],
    ],
    ['a mission there is not', () => ({ missionId: 'none' }), []],
  ])('are found by %s', async (_what, filter, names) => {
    expect(await found(filter())).toEqual(names);
  });
});

describe('events', () => {
  const found = async (filter: object): Promise<string[]> => {
    const { events } = await node.gql(
      'query ($filter: EventFilter) { events(filter: $filter) { edges { node { type } } } }',
      { filter },
    );
    return events.edges.map(({ node: { type } }: Untyped): string => type);
  };

  it('are found by their streams, categories and types', async () => {
    const missionId = await node.newMission();
    const taskId = await node.newTask(missionId);
    await node.mutate('updateMission', { id: missionId, title: 'Changed' });
    const streams = [`mission-${missionId}`, `task-${taskId}`];
    expect(await found({ streams })).toEqual(['MissionCreated', 'TaskCreated', 'MissionUpdated']);
    expect(await found({ streams, categories: ['task'] })).toEqual(['TaskCreated']);
    expect(await found({ streams, types: ['MissionCreated', 'MissionUpdated'] })).toEqual([
      'MissionCreated',
      'MissionUpdated',
    ]);
    expect(await found({ streams: [] })).toEqual([]);
    expect(await found({ types: ['NeverHappened'] })).toEqual([]);
  });

  it('contain everything that was recorded', async () => {
    const id = await node.newMission({ title: 'Recorded' });
    const { events } = await node.gql(
      `query ($streams: [ID!]) { events(filter: { streams: $streams }) { edges { cursor node {
        id position stream revision type etype data recordedAt
        metadata { at actor correlationId causationId schemaVersion } } } } }`,
      { streams: [`mission-${id}`] },
    );
    expect(events.edges).toHaveLength(1);
    const [{ cursor, node: event }] = events.edges;
    expect(event).toMatchObject({
      position: cursor,
      stream: `mission-${id}`,
      revision: 0,
      type: 'MissionCreated',
      data: { missionId: id, title: 'Recorded' },
      metadata: { actor: 'operator', schemaVersion: 1 },
    });
    for (const time of [event.recordedAt, event.metadata.at]) expect(new Date(time).toISOString()).toBe(time);
  });
});
