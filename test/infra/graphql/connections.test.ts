import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newEvent } from '../../support/events.js';
import { TestNode, type Untyped } from '../../support/node.js';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

interface Page {
  readonly edges: readonly { readonly cursor: string; readonly node: Untyped }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
  readonly totalCount?: number;
}

const PAGE = '{ edges { cursor node { id } } pageInfo { hasNextPage endCursor }';
const MISSIONS = `query ($first: Int! = 20, $after: String, $filter: MissionFilter) {
  page: missions(first: $first, after: $after, filter: $filter) ${PAGE} totalCount } }`;
const JOBS = `query ($first: Int! = 20, $after: String, $filter: JobFilter) {
  page: jobs(first: $first, after: $after, filter: $filter) ${PAGE} totalCount } }`;
const EVENTS = `query ($first: Int! = 100, $after: Position, $filter: EventFilter) {
  page: events(first: $first, after: $after, filter: $filter) ${PAGE} } }`;
const TASKS = `query ($id: ID!, $first: Int! = 20, $after: String) {
  mission(id: $id) { tasks(first: $first, after: $after) ${PAGE} totalCount } } }`;

const page = async (query: string, variables: object = {}): Promise<Page> => (await node.gql(query, variables)).page;
const tasksOf = async (id: string, variables: object = {}): Promise<Page> =>
  (await node.gql(TASKS, { id, ...variables })).mission.tasks;
const idsOf = ({ edges }: Page): string[] => edges.map(({ node: { id } }): string => id);

/** Reads all pages; `between` runs before each page except the first. */
async function readAll(
  read: (after: string | null) => Promise<Page>,
  between: () => Promise<unknown> = () => Promise.resolve(),
): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | null = null; ;) {
    const { edges, pageInfo } = await read(after);
    ids.push(...edges.map(({ node: { id } }): string => id));
    expect(pageInfo.endCursor).toBe(edges.at(-1)?.cursor ?? null);
    if (!pageInfo.hasNextPage) return ids;
    after = pageInfo.endCursor;
    await between();
  }
}

/** Creates this many missions with a tag that no other mission has, oldest first. */
async function missionsOf(tag: string, count: number): Promise<string[]> {
  const ids = [];
  for (let i = 0; i < count; i += 1) ids.push(await node.newMission({ title: `${tag} ${i}`, tags: [tag] }));
  return ids;
}

describe('a page', () => {
  let missions: string[];
  beforeAll(async () => {
    missions = await missionsOf('paged', 25);
  });
  const filter = { tag: 'paged' };

  it('has 20 items by default, newest first, and shows whether more follow', async () => {
    const first = await page(MISSIONS, { filter });
    expect(idsOf(first)).toEqual(missions.toReversed().slice(0, 20));
    expect(first).toMatchObject({
      totalCount: 25,
      pageInfo: { hasNextPage: true, endCursor: first.edges[19]?.cursor },
    });
    const second = await page(MISSIONS, { filter, after: first.pageInfo.endCursor });
    expect(idsOf(second)).toEqual(missions.toReversed().slice(20));
    expect(second).toMatchObject({ totalCount: 25, pageInfo: { hasNextPage: false } });
  });

  it('has the default size when its size is null', async () => {
    const field = (name: string, args: string) => `${name}(${args}) { edges { node { id } } }`;
    const lists = (first: string) =>
      `{ ${field('missions', first)} ${field('jobs', first)} ${field('events', first)}
        ofMission: mission(id: "${missions[0]}") { ${field('tasks', first)} } }`;
    const asAlways = await node.gql(lists('after: null'));
    expect(asAlways.missions.edges).toHaveLength(20);
    expect(await node.gql(lists('first: null'))).toEqual(asAlways);
    const variable = lists('first: $first').replace('{', 'query ($first: Int) {');
    expect(await node.gql(variable, { first: null })).toEqual(asAlways);
    expect(await node.gql(variable)).toEqual(asAlways);
  });

  it.each([1, 7, 24, 25, 26, 100])('may have %i items: reading all pages returns each item once', async (first) => {
    const ids = await readAll((after) => page(MISSIONS, { first, after, filter }));
    expect(ids).toEqual(missions.toReversed());
  });

  it('may start after any edge', async () => {
    const { edges } = await page(MISSIONS, { filter, first: 25 });
    const [, , third] = edges;
    expect(idsOf(await page(MISSIONS, { filter, after: third?.cursor, first: 2 }))).toEqual(
      edges.slice(3, 5).map(({ node: { id } }): string => id),
    );
  });

  it('after the last is empty', async () => {
    const { pageInfo } = await page(MISSIONS, { filter, first: 25 });
    const after = await page(MISSIONS, { filter, after: pageInfo.endCursor });
    expect(after).toEqual({ edges: [], pageInfo: { hasNextPage: false, endCursor: null }, totalCount: 25 });
  });

  it.each([0, -1, 101, 2_147_483_647])('cannot have %i items', async (first) => {
    const missionId = missions[0];
    for (const [query, variables] of [
      [MISSIONS, {}],
      [JOBS, {}],
      [EVENTS, {}],
      [TASKS, { id: missionId }],
    ] as const) {
      expect(await node.refusal(query, { ...variables, first })).toEqual({
        code: 'BAD_USER_INPUT',
        message: `first must be 1–100; it is ${first}. To read the next page, pass pageInfo.endCursor as after.`,
      });
    }
  });
});

describe('a cursor', () => {
  const refused = {
    code: 'CURSOR_INVALID',
    message: expect.stringMatching(/is not a cursor of this list\. Use one that/),
  };
  const time = '2026-01-02T03:04:05.678Z';
  const encoded = (text: string) => Buffer.from(text).toString('base64url');

  it.each([
    ['empty', ''],
    ['no base64', '%%%'],
    ['a number', encoded('20')],
    ['a place without a list', encoded(`${time} abc`)],
    ['SQL', encoded(`abc123 missions ${time} ' OR 1=1 --`)],
    ['very long', 'A'.repeat(100_000)],
  ])('that is %s is refused', async (_what, after) => {
    const id = await node.newMission();
    for (const [query, variables] of [
      [MISSIONS, {}],
      [JOBS, {}],
      [TASKS, { id }],
    ] as const) {
      const refusal = await node.refusal(query, { ...variables, after });
      expect(refusal).toEqual(refused);
      expect(refusal.message.length).toBeLessThan(200);
    }
  });

  it('of another list is refused', async () => {
    const id = await node.newMission();
    await node.newJob(await node.newTask(id));
    const cursors = {
      missions: (await page(MISSIONS)).pageInfo.endCursor,
      tasks: (await tasksOf(id)).pageInfo.endCursor,
      jobs: (await page(JOBS)).pageInfo.endCursor,
    };
    const read = (list: string, after: string | null) =>
      node.ask(
        list === 'missions' ? MISSIONS : list === 'jobs' ? JOBS : TASKS,
        list === 'tasks' ? { id, after } : { after },
      );
    for (const [list, cursor] of Object.entries(cursors)) {
      for (const other of Object.keys(cursors)) {
        const { body } = await read(other, cursor);
        if (other === list) expect(body.errors).toBeUndefined();
        else expect(body.errors).toMatchObject([{ extensions: { code: 'CURSOR_INVALID' } }]);
      }
    }
  });

  it('of another log is refused', async () => {
    const elsewhere = await TestNode.start();
    try {
      await elsewhere.newMission();
      const { page: foreign } = await elsewhere.gql(MISSIONS);
      expect(await node.refusal(MISSIONS, { after: foreign.pageInfo.endCursor })).toEqual(refused);
      const { page: events } = await elsewhere.gql(EVENTS);
      expect(await node.refusal(EVENTS, { after: events.pageInfo.endCursor })).toMatchObject({
        code: 'POSITION_UNKNOWN',
      });
    } finally {
      await elsewhere.stop();
    }
  });

  it('of events is a position, but a cursor of a list is not', async () => {
    const { pageInfo } = await page(MISSIONS);
    expect(await node.refusal(EVENTS, { after: pageInfo.endCursor })).toMatchObject({ code: 'POSITION_UNKNOWN' });
    const { edges } = await page(EVENTS, { first: 1 });
    expect(await node.refusal(MISSIONS, { after: edges[0]?.cursor })).toEqual(refused);
  });

  it('is valid after a restart of the node', async () => {
    const id = await node.newMission({ tags: ['outlives'] });
    const { pageInfo } = await page(MISSIONS, { first: 1 });
    await node.restart();
    const [next] = idsOf(await page(MISSIONS, { first: 1, after: pageInfo.endCursor }));
    expect(next).not.toBe(id);
  });
});

describe('pages read while others write', () => {
  it('neither skip nor repeat a mission that existed before', async () => {
    const there = await missionsOf('written', 30);
    const unchanged = [...there];
    const added: string[] = [];
    const ids = await readAll(
      (after) => page(MISSIONS, { first: 4, after, filter: { tag: 'written' } }),
      async () => {
        added.push(await node.newMission({ title: 'Newer', tags: ['written'] }));
        for (const id of unchanged.splice(0, 4)) await node.mutate('updateMission', { id, title: `Changed ${id}` });
      },
    );
    expect(ids).toEqual(there.toReversed());
    expect(added.length).toBeGreaterThan(5);
  });

  it('neither skip nor repeat a mission when many were created at the same time', async () => {
    const there = Array.from({ length: 60 }, () => randomUUID());
    const appended = there.map((missionId) => {
      const data = { missionId, title: 'At once', description: '', metadata: {}, tags: ['at-once'] };
      return node.services.log.append(
        `mission-${missionId}`,
        [newEvent({ type: 'MissionCreated', data })],
        'no-stream',
      );
    });
    const [at] = (await Promise.all(appended)).map(({ position }) => position).toSorted((a, b) => Number(b - a));
    expect(await node.services.missions.reaches(at ?? 0n, 10_000)).toBe(true);
    const unchanged = [...there];
    // Several statuses, because these are not read in the order of an index.
    const filter = { tag: 'at-once', statuses: ['OPEN', 'COMPLETED'] };
    const ids = await readAll(
      (after) => page(MISSIONS, { first: 7, after, filter }),
      async () => {
        for (const id of unchanged.splice(0, 5)) await node.mutate('closeMission', { id, outcome: 'COMPLETED' });
      },
    );
    expect(ids).toEqual(there.toSorted().toReversed());
  });

  it('neither skip nor repeat a job or task that existed before', async () => {
    const missionId = await node.newMission();
    const tasks = [];
    for (let i = 0; i < 12; i += 1) tasks.push(await node.newTask(missionId));
    const [taskId = ''] = tasks;
    const jobs = await Promise.all(Array.from({ length: 30 }, () => node.newJob(taskId)));
    const read = await readAll(
      (after) => page(JOBS, { first: 5, after, filter: { missionId } }),
      async () => {
        await node.newJob(taskId);
        await node.mutate('claimJobs', { worker: 'w', limit: 3 });
      },
    );
    expect(read).toHaveLength(30);
    expect(new Set(read)).toEqual(new Set(jobs));
    const readTasks = await readAll(
      (after) => tasksOf(missionId, { first: 5, after }),
      () => node.newTask(missionId),
    );
    expect(readTasks).toEqual(tasks.toReversed());
  });

  it('of events continue with events that were written meanwhile', async () => {
    const id = await node.newMission();
    const filter = { streams: [`mission-${id}`] };
    for (let i = 0; i < 9; i += 1) await node.mutate('updateMission', { id, title: `Title ${i}` });
    let added = 0;
    const ids = await readAll(
      (after) => page(EVENTS, { first: 3, after, filter }),
      async () => {
        if (added < 4) await node.mutate('updateMission', { id, title: `Later ${(added += 1)}` });
      },
    );
    expect(added).toBe(4);
    expect(ids).toHaveLength(14);
    expect(ids).toEqual(idsOf(await page(EVENTS, { filter })));
  });
});
