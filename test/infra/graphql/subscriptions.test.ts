import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestNode, type Untyped } from '../../support/node.js';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const MISSION_CHANGED = `subscription ($id: ID, $after: Position) {
  change: missionChanged(id: $id, after: $after) { position mission { id title status revision position } } }`;
const JOB_CHANGED = `subscription ($missionId: ID, $kinds: [String!], $after: Position) {
  change: jobChanged(missionId: $missionId, kinds: $kinds, after: $after) { position job { id kind status revision } } }`;
const EVENTS = `subscription ($after: Position, $filter: EventFilter) {
  record: eventRecorded(after: $after, filter: $filter) { position event { id stream revision type position } } }`;
const START = () => node.services.token(0n);

const numberOf = (position: string): number => Number(position.split(':')[1]);
const head = async (): Promise<string> => node.services.token(await node.services.log.head());

const missionsIn = (values: readonly Untyped[]): { id: string; revision: number }[] =>
  values.map(({ change }) => change.mission);
const jobsIn = (values: readonly Untyped[]): { id: string }[] => values.map(({ change }) => change.job);
const eventsIn = (values: readonly Untyped[]): { id: string; stream: string; revision: number; type: string }[] =>
  values.map(({ record }) => record.event);

describe('missionChanged', () => {
  it('returns changes from now on, as a query shows them', async () => {
    await node.newMission({ title: 'Before' });
    const feed = node.client().run(MISSION_CHANGED, { after: await head() });
    const id = await node.newMission({ title: 'New' });
    await feed.take(1);
    const updated = await node.mutate('updateMission', { id, title: 'Changed' });
    const values = await feed.take(2);
    expect(missionsIn(values)).toMatchObject([
      { id, title: 'New', revision: 0 },
      { id, title: 'Changed', revision: 1, status: 'OPEN' },
    ]);
    expect(values[1].change.position).toBe(updated.position);
    expect(values[1].change.mission.position).toBe(updated.position);
  });

  it('without a position starts now', async () => {
    await node.newMission({ title: 'Before' });
    const feed = node.client().run(MISSION_CHANGED);
    const ids: string[] = [];
    const seen = async () => {
      ids.push(await node.newMission({ title: 'After' }));
      return feed.values.length;
    };
    await expect.poll(seen).toBeGreaterThan(0);
    expect(ids).toEqual(expect.arrayContaining(missionsIn(feed.values).map(({ id }) => id)));
  });

  it('first returns each mission changed since a position, once, in its current state', async () => {
    const after = await head();
    const ids = [await node.newMission({ title: 'A' }), await node.newMission({ title: 'B' })];
    for (let i = 0; i < 5; i += 1) await node.mutate('updateMission', { id: ids[0], title: `A${i}` });
    const feed = node.client().run(MISSION_CHANGED, { after });
    await feed.take(2);
    const marker = await node.newMission({ title: 'Marker' });
    expect(missionsIn(await feed.take(3))).toMatchObject([
      { id: ids[1], title: 'B', revision: 0 },
      { id: ids[0], title: 'A4', revision: 5 },
      { id: marker },
    ]);
  });

  it('of one mission returns no other', async () => {
    const id = await node.newMission();
    const feed = node.client().run(MISSION_CHANGED, { id, after: START() });
    await feed.take(1);
    await node.newMission();
    await node.mutate('closeMission', { id, outcome: 'COMPLETED' });
    const missions = missionsIn(await feed.take(2));
    expect(missions).toMatchObject([
      { id, status: 'OPEN' },
      { id, status: 'COMPLETED' },
    ]);
  });

  it('never misses the last state of a mission, however fast it changes', async () => {
    const id = await node.newMission();
    const feed = node.client().run(MISSION_CHANGED, { id, after: await head() });
    for (let i = 0; i < 100; i += 5) {
      const titles = [i, i + 1, i + 2, i + 3, i + 4].map((number) => `Title ${number}`);
      await Promise.all(titles.map((title) => node.mutate('updateMission', { id, title })));
    }
    const { mission } = await node.gql('query ($id: ID!) { mission(id: $id) { id title status revision position } }', {
      id,
    });
    await expect.poll(() => feed.values.at(-1)?.change.mission).toEqual(mission);
    const positions = feed.values.map(({ change }): number => numberOf(change.position));
    expect(positions).toEqual([...new Set(positions)].toSorted((a, b) => a - b));
  });

  it('continues where an interrupted connection ended, without missing a change', async () => {
    const seen = new Map<string, number>();
    const ids = await Promise.all(Array.from({ length: 5 }, () => node.newMission()));
    let after = await head();
    for (let round = 0; round < 5; round += 1) {
      const client = node.client();
      const feed = client.run(MISSION_CHANGED, { after });
      for (const id of ids) await node.mutate('updateMission', { id, title: `Round ${round}` });
      await feed.take(1 + round);
      client.terminate();
      await client.closed();
      for (const { change } of feed.values) {
        seen.set(change.mission.id, change.mission.revision);
        after = change.position;
      }
    }
    const feed = node.client().run(MISSION_CHANGED, { after });
    const marker = await node.newMission();
    await expect.poll(() => missionsIn(feed.values).map(({ id }) => id)).toContain(marker);
    for (const mission of missionsIn(feed.values)) seen.set(mission.id, mission.revision);
    for (const id of ids) expect(seen.get(id)).toBe(5);
  });
});

describe('jobChanged', () => {
  it('returns every status of a job', async () => {
    const missionId = await node.newMission();
    const taskId = await node.newTask(missionId, { kind: 'walk' });
    const feed = node.client().run(JOB_CHANGED, { missionId, after: await head() });
    const id = await node.newJob(taskId);
    await feed.take(1);
    await node.mutate('claimJobs', { worker: 'w', kinds: ['walk'] });
    await feed.take(2);
    await node.mutate('completeJob', { id, worker: 'w', attempt: 1 });
    expect(jobsIn(await feed.take(3))).toEqual([
      { id, kind: 'walk', status: 'PENDING', revision: 0 },
      { id, kind: 'walk', status: 'DISPATCHED', revision: 1 },
      { id, kind: 'walk', status: 'COMPLETED', revision: 2 },
    ]);
  });

  it('for some kinds, or for one mission, returns no others, among earlier and later changes', async () => {
    const after = await head();
    const [missionId, otherId] = [await node.newMission(), await node.newMission()];
    const [taskId, otherTaskId] = [await node.newTask(missionId), await node.newTask(otherId)];
    const make = async () => ({
      scan: await node.newJob(taskId, { kind: 'scan' }),
      map: await node.newJob(taskId, { kind: 'map' }),
      other: await node.newJob(otherTaskId, { kind: 'scan' }),
    });
    const earlier = await make();
    const client = node.client();
    const scans = client.run(JOB_CHANGED, { kinds: ['scan'], after });
    const ofMission = client.run(JOB_CHANGED, { missionId, after });
    const both = client.run(JOB_CHANGED, { missionId, kinds: ['scan', 'paint'], after });
    const none = client.run(JOB_CHANGED, { kinds: [], after });
    await scans.take(2);
    await ofMission.take(2);
    await both.take(1);
    const later = await make();
    const idsOf = (values: readonly Untyped[]) => jobsIn(values).map(({ id }) => id);
    expect(idsOf(await scans.take(4))).toEqual([earlier.scan, earlier.other, later.scan, later.other]);
    expect(idsOf(await ofMission.take(4))).toEqual([earlier.scan, earlier.map, later.scan, later.map]);
    expect(idsOf(await both.take(2))).toEqual([earlier.scan, later.scan]);
    expect(none.values).toEqual([]);
  });
});

describe('eventRecorded', () => {
  it('after a position returns every event, once, in order, while others write', async () => {
    const id = await node.newMission();
    for (let i = 0; i < 150; i += 1)
      await node.mutate('updateMission', { id, title: `Early ${i}` }, { consistency: 'APPENDED' });
    const feed = node.client().run(EVENTS, { after: START(), filter: { streams: [`mission-${id}`] } });
    for (let i = 0; i < 50; i += 1)
      await node.mutate('updateMission', { id, title: `Late ${i}` }, { consistency: 'APPENDED' });
    const events = eventsIn(await feed.take(201));
    expect(events.map(({ revision }) => revision)).toEqual(Array.from({ length: 201 }, (_, i) => i));
    expect(feed.values).toHaveLength(201);
  });

  it('continues after its last position, without a gap or a duplicate', async () => {
    const id = await node.newMission();
    const filter = { streams: [`mission-${id}`] };
    const seen: number[] = [];
    let after = START();
    for (let round = 0; round < 4; round += 1) {
      for (let i = 0; i < 10; i += 1) await node.mutate('updateMission', { id, title: `${round}.${i}` });
      const client = node.client();
      const feed = client.run(EVENTS, { after, filter });
      await feed.take(7);
      client.terminate();
      await client.closed();
      for (const { record } of feed.values) {
        seen.push(record.event.revision);
        after = record.position;
      }
    }
    const rest = node.client().run(EVENTS, { after, filter });
    if (seen.length < 41) await rest.take(41 - seen.length);
    seen.push(...eventsIn(rest.values).map(({ revision }) => revision));
    expect(seen).toEqual(Array.from({ length: 41 }, (_, i) => i));
  });

  it('without a position starts now', async () => {
    await node.newMission({ title: 'Before' });
    const feed = node.client().run(EVENTS);
    const streams: string[] = [];
    const seen = async () => {
      streams.push(`mission-${await node.newMission({ title: 'After' })}`);
      return feed.values.length;
    };
    await expect.poll(seen).toBeGreaterThan(0);
    expect(streams).toEqual(expect.arrayContaining(eventsIn(feed.values).map(({ stream }) => stream)));
  });

  it('returns the events that match a filter', async () => {
    const after = await head();
    const client = node.client();
    const missionId = await node.newMission();
    const taskId = await node.newTask(missionId);
    const feeds = [
      client.run(EVENTS, { after, filter: { categories: ['task'] } }),
      client.run(EVENTS, { after, filter: { types: ['MissionUpdated', 'TaskUpdated'] } }),
      client.run(EVENTS, { after, filter: { categories: ['mission'], types: ['TaskUpdated', 'MissionUpdated'] } }),
    ];
    await node.mutate('updateMission', { id: missionId, title: 'Changed' });
    await node.mutate('updateTask', { id: taskId, name: 'Changed' });
    const [tasks, updates, both] = feeds;
    const typesOf = async (feed: (typeof feeds)[number] | undefined, count: number) =>
      eventsIn((await feed?.take(count)) ?? []).map(({ type }) => type);
    expect(await typesOf(tasks, 2)).toEqual(['TaskCreated', 'TaskUpdated']);
    expect(await typesOf(updates, 2)).toEqual(['MissionUpdated', 'TaskUpdated']);
    expect(await typesOf(both, 1)).toEqual(['MissionUpdated']);
  });

  it('returns the same events to each of many subscribers, with the same or different documents', async () => {
    const id = await node.newMission();
    const variables = { after: START(), filter: { streams: [`mission-${id}`] } };
    const small = EVENTS.replace('stream revision type position', 'type');
    const clients = Array.from({ length: 8 }, () => node.client());
    const feeds = clients.flatMap((client) => [client.run(EVENTS, variables), client.run(EVENTS, variables)]);
    const others = clients.map((client) => client.run(small, variables));
    for (let i = 0; i < 20; i += 1) await node.mutate('updateMission', { id, title: `Title ${i}` });
    const [first, ...rest] = feeds;
    const values = [...((await first?.take(21)) ?? [])];
    for (const feed of rest) expect(await feed.take(21)).toEqual(values);
    const reduced = values.map(({ record: { position, event } }) => ({
      record: { position, event: { id: event.id, type: event.type } },
    }));
    for (const feed of others) expect(await feed.take(21)).toEqual(reduced);
  });
});

describe('projectionProgress', () => {
  const PROGRESS = `subscription ($name: String) {
    projection: projectionProgress(name: $name) { name state position head behind generation error { message } } }`;

  it('returns the state now, and follows the log', async () => {
    const feed = node.client().run(PROGRESS);
    const [{ projection }] = await feed.take(1);
    expect(projection).toMatchObject({ name: 'missions', state: 'LIVE', error: null });
    const { position } = await node.mutate('createMission', { title: 'Progress' });
    const latest = () => feed.values.at(-1)?.projection;
    await expect.poll(latest).toMatchObject({ position, head: position, behind: 0 });
  });

  it('follows a rebuild to its end', async () => {
    const feed = node.client().run(PROGRESS, { name: 'missions' });
    const [{ projection }] = await feed.take(1);
    await node.gql('mutation { rebuildProjection(name: "missions") { __typename } }');
    await expect
      .poll(() => feed.values.at(-1)?.projection, { timeout: 15_000 })
      .toMatchObject({ state: 'LIVE', generation: Number(projection.generation) + 1 });
  });

  it('of an unknown projection is refused', async () => {
    const [error] = await node.client().run(PROGRESS, { name: 'nope' }).refused();
    expect(error).toMatchObject({ message: expect.stringContaining('nope'), extensions: { code: 'BAD_USER_INPUT' } });
  });
});

describe('a subscription', () => {
  it.each([
    ['no position', '12', 'is not a position'],
    ['of another log', 'zzzzz0:1', 'belongs to another log'],
    ['beyond the end', () => node.services.token(2n ** 60n), 'is beyond the end of this log'],
  ])('after a position that is %s is refused and ends', async (_what, given, message) => {
    const after = typeof given === 'string' ? given : given();
    for (const query of [MISSION_CHANGED, JOB_CHANGED, EVENTS]) {
      const feed = node.client().run(query, { after });
      expect(await feed.refused()).toEqual([
        expect.objectContaining({
          message: expect.stringContaining(message),
          extensions: { code: 'POSITION_UNKNOWN' },
        }),
      ]);
      await feed.over();
      expect(feed.values).toEqual([]);
    }
  });

  it('ends when it is completed, and others on its connection continue', async () => {
    const client = node.client();
    const [ended, going] = [client.run(MISSION_CHANGED), client.run(MISSION_CHANGED)];
    await client.run('{ __typename }').take(1);
    await node.newMission();
    await Promise.all([ended.take(1), going.take(1)]);
    ended.end();
    await ended.over();
    await client.run('{ __typename }').take(1);
    await node.newMission();
    await going.take(2);
    expect(ended.values).toHaveLength(1);
  });

  it('over HTTP is refused, and the message states what to do', async () => {
    const { status, body } = await node.ask('subscription { missionChanged { position } }');
    expect(status).toBe(400);
    expect(body.errors).toEqual([
      {
        message:
          'Subscriptions are served only over WebSocket. Connect to /graphql with the graphql-transport-ws protocol.',
        extensions: { code: 'BAD_REQUEST' },
      },
    ]);
  });

  it('does not prevent queries and mutations on its connection', async () => {
    const client = node.client();
    const [data] = await client
      .run(
        'mutation { createMission(input: { title: "By socket" }) { ... on CreateMissionPayload { mission { title } } } }',
      )
      .take(1);
    expect(data).toEqual({ createMission: { mission: { title: 'By socket' } } });
  });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
