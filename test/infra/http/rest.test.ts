import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { holdBack } from '../../support/hold-back.js';
import { TestNode, type Answer, type Untyped } from '../../support/node.js';

const UNKNOWN = '019b8d5e-0000-7000-8000-000000000000';
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const send = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  node.fetch(path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
const made = async (path: string, body: object): Promise<Untyped> => {
  const answer = await send(path, body);
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
};
function expectError({ status, headers, body }: Answer, expected: number, code: string, message: RegExp): void {
  expect(status).toBe(expected);
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  expect(body).toEqual({ errors: [{ message: expect.stringMatching(message), extensions: { code } }] });
}

describe('the walkthrough', () => {
  it('creates a mission, a task and a job, and reads them back', async () => {
    const mission = await made('/api/missions', { title: 'Map the ridge', metadata: { a: 1 }, tags: ['x'] });
    expect(mission).toEqual({
      id: mission.id,
      title: 'Map the ridge',
      description: '',
      metadata: { a: 1 },
      tags: ['x'],
      status: 'OPEN',
      created_at: expect.stringMatching(TIME),
      updated_at: mission.created_at,
    });
    expect((await node.fetch(`/api/missions/${mission.id}`)).body).toEqual(mission);

    const task = await made(`/api/missions/${mission.id}/tasks`, { name: 'Walk it', kind: 'walk', params: { km: 3 } });
    expect(task).toEqual({
      id: task.id,
      mission_id: mission.id,
      name: 'Walk it',
      description: '',
      kind: 'walk',
      params: { km: 3 },
      created_at: expect.stringMatching(TIME),
      updated_at: task.created_at,
    });

    const job = await made(`/api/tasks/${task.id}/jobs`, { payload: { leg: 1 }, priority: 5, max_attempts: 2 });
    expect(job).toEqual({
      id: job.id,
      task_id: task.id,
      mission_id: mission.id,
      kind: 'walk',
      payload: { leg: 1 },
      status: 'PENDING',
      result: null,
      attempt: 0,
      worker: null,
      created_at: expect.stringMatching(TIME),
      updated_at: job.created_at,
    });
    expect((await node.fetch(`/api/jobs/${job.id}`)).body).toEqual(job);
    const { job: shown } = await node.gql('query ($id: ID!) { job(id: $id) { priority maxAttempts } }', { id: job.id });
    expect(shown).toEqual({ priority: 5, maxAttempts: 2 });
  });

  it('shows what workers do over GraphQL', async () => {
    const { id: missionId } = await made('/api/missions', { title: 'Shared' });
    const { id: taskId } = await made(`/api/missions/${missionId}/tasks`, { name: 'T', kind: 'shared' });
    const { id } = await made(`/api/tasks/${taskId}/jobs`, {});
    await node.mutate('claimJobs', { worker: 'w-1', kinds: ['shared'] });
    expect((await node.fetch(`/api/jobs/${id}`)).body).toMatchObject({
      status: 'DISPATCHED',
      attempt: 1,
      worker: 'w-1',
    });
    await node.mutate('completeJob', { id, worker: 'w-1', attempt: 1, result: { ok: true } });
    expect((await node.fetch(`/api/jobs/${id}`)).body).toMatchObject({ status: 'COMPLETED', result: { ok: true } });
  });

  it('answers with the position and durability of the change', async () => {
    const { headers, body } = await send('/api/missions', { title: 'Placed' });
    const { mission } = await node.gql('query ($id: ID!, $at: Position) { mission(id: $id, at: $at) { position } }', {
      id: body.id,
      at: headers.get('x-position'),
    });
    expect(mission.position).toBe(headers.get('x-position'));
    expect(headers.get('x-durability')).toBe('PROJECTED');
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/json', 'application/octet-stream'])(
    'accepts JSON with the content type %s, as the clients of the old system send it',
    async (type) => {
      const { status, body } = await send('/api/missions', { title: 'Typed' }, { 'content-type': type });
      expect(status).toBe(201);
      expect(body.title).toBe('Typed');
    },
  );

  it('creates a job of the task’s kind when the request has no body', async () => {
    const { id: missionId } = await made('/api/missions', { title: 'Bare' });
    const { id: taskId } = await made(`/api/missions/${missionId}/tasks`, { name: 'T' });
    for (const init of [{}, { body: '' }, { body: '', headers: { 'content-type': 'application/json' } }]) {
      const answer = await node.fetch(`/api/tasks/${taskId}/jobs`, { method: 'POST', ...init });
      expect(answer).toMatchObject({ status: 201, body: { kind: 'general', payload: {} } });
    }
  });

  it('records the correlation id of its caller', async () => {
    const { body } = await send('/api/missions', { title: 'Correlated' }, { 'x-correlation-id': 'walk-17' });
    const { events } = await node.gql(
      'query ($streams: [ID!]) { events(filter: { streams: $streams }) { edges { node { metadata { correlationId } } } } }',
      { streams: [`mission-${body.id}`] },
    );
    expect(events.edges).toEqual([{ node: { metadata: { correlationId: 'walk-17' } } }]);
  });
});

describe('a POST while the read models are behind', () => {
  it('answers with the created object, as it is read later', async () => {
    const late = await TestNode.start();
    onTestFinished(() => late.stop());
    const missionId = await late.newMission();
    const taskId = await late.newTask(missionId);
    const release = await holdBack(late);
    const post = (path: string, body: object) => late.fetch(path, { method: 'POST', body: JSON.stringify(body) });
    const answers = await Promise.all([
      post('/api/missions', { title: 'Late', tags: ['x'], metadata: { a: 1 } }),
      post(`/api/missions/${missionId}/tasks`, { name: 'Late', params: { km: 3 } }),
      post(`/api/tasks/${taskId}/jobs`, { payload: { leg: 1 } }),
    ]);
    const [mission, task, job] = answers.map(({ status, headers, body }) => {
      expect([status, headers.get('x-durability')]).toEqual([201, 'APPENDED']);
      return body;
    });
    await release();
    await expect.poll(async () => (await late.fetch(`/api/jobs/${job.id}`)).body).toEqual(job);
    await expect.poll(async () => (await late.fetch(`/api/missions/${mission.id}`)).body).toEqual(mission);
    expect(task).toMatchObject({ mission_id: missionId, name: 'Late', kind: 'general', params: { km: 3 } });
    await late.newJob(task.id);
  });
});

describe('GET /api/missions', () => {
  it('lists missions newest first, and continues after `next`', async () => {
    const ids = [];
    for (let i = 0; i < 5; i += 1) ids.unshift((await made('/api/missions', { title: `Listed ${i}` })).id);
    const first = (await node.fetch('/api/missions?limit=3')).body;
    expect(first).toMatchObject({ count: 3, next: expect.any(String) });
    const second = (await node.fetch(`/api/missions?limit=2&after=${first.next}`)).body;
    const listed = [...first.missions, ...second.missions].map(({ id }: Untyped): string => id);
    expect(listed).toEqual(ids);
    expect(first.missions[0]).toEqual((await node.fetch(`/api/missions/${ids[0]}`)).body);
    const all = (await node.fetch('/api/missions')).body;
    expect(all).toMatchObject({ count: all.missions.length, next: null });
  });

  it.each(['0', '-1', '101', '1.5', 'ten', '', '1&limit=2'])('refuses limit=%s', async (limit) => {
    expectError(await node.fetch(`/api/missions?limit=${limit}`), 400, 'INVALID_INPUT', /^limit: must be/);
  });

  it('refuses an invalid cursor', async () => {
    const refused = await node.fetch('/api/missions?after=garbage');
    expectError(refused, 400, 'CURSOR_INVALID', /^'garbage' is not a cursor of this list\./);
  });
});

describe('GET /api/status', () => {
  it('shows the state of the log and its projections', async () => {
    await node.newMission();
    expect(await node.services.outbox.reaches(await node.services.log.head(), 5_000)).toBe(true);
    const { status, body } = await node.fetch('/api/status');
    expect(status).toBe(200);
    const head = node.services.token(await node.services.log.head());
    expect(body).toEqual({
      status: 'ok',
      log: { id: node.services.log.logId, head },
      projections: ['missions', 'outbox'].map((name) => ({ name, state: 'LIVE', position: head, behind: 0 })),
      replication: {
        enabled: false,
        origin: null,
        line: 1,
        elected: null,
        head: expect.any(Number),
        quorum: 0,
        pending: expect.any(Number),
        lag_seconds: 0,
        required_acks: 0,
        degraded: false,
        stopped: null,
        refusal: null,
        hosts: [],
      },
    });
  });
});

describe('a POST with an idempotency key', () => {
  it('creates one object, however often it is sent', async () => {
    const headers = { 'idempotency-key': 'rest-once' };
    const answers = [];
    for (let i = 0; i < 3; i += 1) answers.push(await send('/api/missions', { title: 'Once' }, headers));
    for (const { status, body } of answers) {
      expect(status).toBe(201);
      expect(body).toEqual(answers[0]?.body);
    }
    expectError(await send('/api/missions', { title: 'Other' }, headers), 422, 'IDEMPOTENCY_MISMATCH', /rest-once/);
  });
});

describe('a request', () => {
  it.each([
    ['is no JSON', '{"title": ', 'BAD_REQUEST', /^The body is not JSON\.$/],
    ['is empty', '', 'INVALID_INPUT', /^body: /],
    ['is a list', '[]', 'INVALID_INPUT', /^body: /],
    ['is null', 'null', 'INVALID_INPUT', /^body: /],
    ['lacks a title', '{}', 'INVALID_INPUT', /^title: must be text/],
    ['has a title that is no text', '{"title":5}', 'INVALID_INPUT', /^title: must be text/],
    ['has an empty title', '{"title":""}', 'INVALID_INPUT', /^title: must not be blank/],
    [
      'has a title that is too long',
      `{"title":"${'t'.repeat(201)}"}`,
      'INVALID_INPUT',
      /^title: must have at most 200/,
    ],
    ['has metadata that is a list', '{"title":"T","metadata":[]}', 'INVALID_INPUT', /^metadata: must be a JSON object/],
    ['has tags that are no list', '{"title":"T","tags":"x"}', 'INVALID_INPUT', /^tags: must be a list of texts/],
    ['has a tag that is no text', '{"title":"T","tags":["x",5]}', 'INVALID_INPUT', /^tags\.1: must be text/],
  ])('whose body %s is refused with 400', async (_what, body, code, message) => {
    expectError(await send('/api/missions', body), 400, code, message);
  });

  it('for an object that does not exist is answered with 404', async () => {
    expectError(await node.fetch(`/api/missions/${UNKNOWN}`), 404, 'NOT_FOUND', new RegExp(UNKNOWN));
    expectError(await node.fetch(`/api/jobs/${UNKNOWN}`), 404, 'NOT_FOUND', new RegExp(UNKNOWN));
    expectError(await send(`/api/missions/${UNKNOWN}/tasks`, { name: 'T' }), 404, 'NOT_FOUND', new RegExp(UNKNOWN));
    expectError(await send(`/api/tasks/${UNKNOWN}/jobs`, {}), 404, 'NOT_FOUND', new RegExp(UNKNOWN));
  });

  it('to change a closed mission is answered with 409', async () => {
    const { id } = await made('/api/missions', { title: 'Closed' });
    await node.mutate('closeMission', { id, outcome: 'CANCELLED' });
    expectError(await send(`/api/missions/${id}/tasks`, { name: 'T' }), 409, 'MISSION_CLOSED', /closed|CANCELLED/i);
  });

  it.each([
    ['GET', '/nothing/here'],
    ['GET', '/api'],
    ['GET', '/api/tasks'],
    ['GET', '/playground/nothing.js'],
    ['DELETE', '/graphql'],
    ['PUT', '/api/missions'],
    ['PATCH', `/api/missions/${UNKNOWN}`],
    ['DELETE', `/api/jobs/${UNKNOWN}`],
    ['POST', '/livez'],
    ['POST', '/metrics'],
    ['POST', '/playground/'],
  ])('%s %s is answered with 404', async (method, path) => {
    const message = new RegExp(
      `^Nothing is served at ${method} ${path.replaceAll('.', '\\.')}\\. Check the method and the path\\.$`,
    );
    expectError(await node.fetch(path, { method }), 404, 'NOT_FOUND', message);
  });

  it('for a path that cannot be decoded is refused with 400', async () => {
    for (const path of ['/api/missions/%zz', '/%c0%af', '/playground/%zz']) {
      expectError(await node.fetch(path), 400, 'BAD_REQUEST', /is not a valid url component/);
    }
  });

  it('for a very long path gets a short response', async () => {
    const { status, text } = await node.fetch(`/${'x'.repeat(10_000)}`);
    expect(status).toBe(404);
    expect(text.length).toBeLessThan(400);
  });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
