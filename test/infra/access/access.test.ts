import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { mutation } from '../../support/documents.js';
import { TestNode, type Answer, type Untyped } from '../../support/node.js';

const TOKENS = {
  viewer: 'viewer-token-0123456789',
  worker: 'worker-token-0123456789',
  operator: 'operator-token-0123456789',
} as const;
type Role = keyof typeof TOKENS;
const ROLES: readonly Role[] = ['viewer', 'worker', 'operator'];
const SETTING = ROLES.map((role) => `${TOKENS[role]}:${role}`).join(',');
const UNKNOWN = '019b8d5e-0000-7000-8000-000000000000';

let node: TestNode;
let open: TestNode;
beforeAll(async () => {
  [node, open] = await Promise.all([TestNode.start({ SHERATAN_API_TOKENS: SETTING }), TestNode.start()]);
});
afterAll(() => Promise.all([node.stop(), open.stop()]));

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
/** The roles that allow what a role allows. */
const from = (role: Role) => ROLES.slice(ROLES.indexOf(role));

/** Sends a request with headers that `fetch` does not allow. */
async function raw(
  url: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: Untyped }> {
  return new Promise((resolve, reject) => {
    request(`${url}${path}`, { headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    })
      .on('error', reject)
      .end();
  });
}

describe('a role', () => {
  const create = { title: 'T' };
  const byId = { id: UNKNOWN };
  const attempt = { ...byId, worker: 'w', attempt: 1 };
  const operations: [needed: Role, what: string, document: string, variables: object][] = [
    ['viewer', 'missions', '{ missions { totalCount } }', {}],
    ['viewer', 'mission', 'query ($id: ID!) { mission(id: $id) { id } }', byId],
    ['viewer', 'task', 'query ($id: ID!) { task(id: $id) { id } }', byId],
    ['viewer', 'jobs', '{ jobs { totalCount } }', {}],
    ['viewer', 'job', 'query ($id: ID!) { job(id: $id) { id } }', byId],
    ['viewer', 'node', 'query ($id: ID!) { node(id: $id) { id } }', byId],
    ['viewer', 'log', '{ log { id } }', {}],
    ['viewer', 'events', '{ events { edges { cursor } } }', {}],
    ['viewer', 'projections', '{ projections { name state } }', {}],
    ['viewer', 'replicationStatus', '{ replicationStatus { enabled } }', {}],
    ['viewer', 'hosts', '{ hosts { id } }', {}],
    ['viewer', 'outbox', '{ outbox { totalCount } }', {}],
    ['operator', 'retryHost', 'mutation { retryHost(id: "nope") { __typename } }', {}],
    ['operator', 'setHostState', 'mutation { setHostState(id: "nope", state: ACTIVE) { __typename } }', {}],
    ['operator', 'confirmHost', 'mutation { confirmHost(id: "nope") { __typename } }', {}],
    ['operator', 'rotateKey', 'mutation { rotateKey { __typename } }', {}],
    ['operator', 'beginLine', 'mutation { beginLine(origin: "nope") { __typename } }', {}],
    ['operator', 'resumeWriter', 'mutation { resumeWriter { __typename } }', {}],
    ['operator', 'the digest of a projection', '{ projections { digest } }', {}],
    ...(
      [
        ['operator', 'createMission', 'CreateMissionInput', create],
        ['operator', 'updateMission', 'UpdateMissionInput', { ...byId, ...create }],
        ['operator', 'closeMission', 'CloseMissionInput', { ...byId, outcome: 'FAILED' }],
        ['worker', 'createTask', 'CreateTaskInput', { missionId: UNKNOWN, name: 'T' }],
        ['worker', 'updateTask', 'UpdateTaskInput', { ...byId, name: 'T' }],
        ['worker', 'createJob', 'CreateJobInput', { taskId: UNKNOWN }],
        ['worker', 'claimJobs', 'ClaimJobsInput', { worker: 'w' }],
        ['worker', 'completeJob', 'CompleteJobInput', attempt],
        ['worker', 'failJob', 'FailJobInput', { ...attempt, reason: 'R' }],
        ['operator', 'cancelJob', 'CancelJobInput', byId],
      ] as const
    ).map(([needed, name, type, input]): [Role, string, string, object] => [
      needed,
      name,
      `mutation ($input: ${type}!) { ${name}(input: $input) { __typename } }`,
      { input },
    ]),
    ...['rebuildProjection', 'cancelRebuild', 'rollbackProjection', 'resumeProjection'].map(
      (name): [Role, string, string, object] => [
        'operator',
        name,
        `mutation { ${name}(name: "nope") { __typename } }`,
        {},
      ],
    ),
  ];

  it('is required by every query and mutation', async () => {
    const { __schema: schema } = await open.gql(
      '{ __schema { queryType { fields { name } } mutationType { fields { name } } } }',
    );
    const fields = [...schema.queryType.fields, ...schema.mutationType.fields];
    const asked = operations.map(([, what]) => what);
    for (const { name } of fields) expect(asked).toContain(name);
  });

  it.each(operations)('of a %s is needed for %s', async (needed, _what, document, variables) => {
    for (const role of ROLES) {
      const { body } = await node.ask(document, variables, TOKENS[role]);
      if (from(needed).includes(role)) {
        expect(body.errors).toBeUndefined();
      } else {
        expect(body.errors).not.toHaveLength(0);
        for (const error of body.errors) {
          expect(error).toMatchObject({
            message: `This request requires the role ${needed}; the token has the role ${role}.`,
            extensions: { code: 'FORBIDDEN' },
          });
          expect(Object.keys(error.extensions)).toEqual(['code']);
        }
      }
    }
  });

  const paths: [needed: Role, method: string, path: string, body?: object][] = [
    ['viewer', 'GET', '/api/missions'],
    ['viewer', 'GET', `/api/missions/${UNKNOWN}`],
    ['viewer', 'GET', `/api/jobs/${UNKNOWN}`],
    ['viewer', 'GET', '/api/status'],
    ['viewer', 'GET', '/metrics'],
    ['operator', 'POST', '/api/missions', create],
    ['worker', 'POST', `/api/missions/${UNKNOWN}/tasks`, { name: 'T' }],
    ['worker', 'POST', `/api/tasks/${UNKNOWN}/jobs`, {}],
  ];

  it.each(paths)('of a %s is needed for %s %s', async (needed, method, path, body) => {
    const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    for (const role of ROLES) {
      const answer = await node.fetch(path, { ...init, headers: bearer(TOKENS[role]) });
      if (from(needed).includes(role)) {
        expect([200, 201, 404]).toContain(answer.status);
      } else {
        expect(answer).toMatchObject({
          status: 403,
          body: {
            errors: [
              {
                message: `This request requires the role ${needed}; the token has the role ${role}.`,
                extensions: { code: 'FORBIDDEN' },
              },
            ],
          },
        });
      }
    }
    expectUnauthenticated(await node.fetch(path, init));
  });

  it('of an operator is that of every caller when no tokens are set', async () => {
    await open.newMission();
    await open.gql('{ projections { digest } }');
  });
});

function expectUnauthenticated({ status, headers, body }: Answer): void {
  expect(status).toBe(401);
  expect(headers.get('www-authenticate')).toBe('Bearer');
  expect(body).toEqual({
    errors: [
      {
        message:
          'This request requires a bearer token. Send `authorization: Bearer <token>` with one of SHERATAN_API_TOKENS.',
        extensions: { code: 'UNAUTHENTICATED' },
      },
    ],
  });
}

describe('a request', () => {
  it.each([
    ['no token', {}],
    ['an unknown token', bearer('unknown-token-0123456789')],
    ['part of a token', bearer(TOKENS.operator.slice(0, -1))],
    ['more than a token', bearer(`${TOKENS.operator}0`)],
    ['two tokens', bearer(`${TOKENS.operator} ${TOKENS.viewer}`)],
    ['all tokens as they are set', bearer(SETTING)],
    ['an empty token', bearer('')],
    ['a token of another scheme', { authorization: `Basic ${TOKENS.operator}` }],
    ['a token without a scheme', { authorization: TOKENS.operator }],
    ['a token where it does not belong', { 'x-api-key': TOKENS.operator }],
  ])('with %s is refused with 401', async (_what, headers) => {
    expectUnauthenticated(await node.post({ query: '{ __typename }' }, headers));
    for (const path of ['/graphql?query={__typename}', '/api/missions', '/api/nope', '/metrics', '/nope']) {
      expectUnauthenticated(await node.fetch(path, { headers }));
    }
  });

  it('with a token is served, however the scheme is spelt', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      const answer = await node.fetch('/api/status', { headers: { authorization: `${scheme} ${TOKENS.viewer}` } });
      expect(answer.status).toBe(200);
    }
  });

  it('for liveness, readiness or the playground needs no token', async () => {
    for (const path of ['/livez', '/readyz', '/playground/']) expect((await node.fetch(path)).status).toBe(200);
    for (const path of ['/', '/playground']) expect((await node.fetch(path)).status).toBe(302);
  });

  it.each([
    '/livez/../metrics',
    '/playground/../api/status',
    '/playground/..%2fapi%2fstatus',
    '/playground/%2e%2e/metrics',
  ])('for %s does not get past its token', async (path) => {
    const { status } = await raw(node.url, path, {});
    expect([400, 401, 403, 404]).toContain(status);
  });

  it('does not have its token logged or returned', async () => {
    const { text } = await node.post({ query: '{ __typename }' }, bearer('secret-guess-0123456789'));
    expect(text).not.toContain('secret-guess');
    expect(node.logged.join()).not.toMatch(/token-0123456789|secret-guess/);
  });
});

describe('a caller', () => {
  const ACTORS = 'query ($id: ID!) { events(filter: { streams: [$id] }) { edges { node { metadata { actor } } } } }';
  const actorOf = async (one: TestNode, missionId: string, token?: string): Promise<string> => {
    const { events } = await one.gql(ACTORS, { id: `mission-${missionId}` }, token);
    return events.edges[0].node.metadata.actor;
  };
  const fingerprint = (token: string) => createHash('sha256').update(token).digest('hex').slice(0, 8);

  it('is distinguished from another of its role: one idempotency key is two, in every API', async () => {
    const tokens = ['operator-token-of-ada-01', 'operator-token-of-bob-02'];
    const shared = await TestNode.start({ SHERATAN_API_TOKENS: tokens.map((token) => `${token}:operator`).join(',') });
    onTestFinished(() => shared.stop());
    const doors: Record<string, (title: string, key: string, token: string) => Promise<string>> = {
      http: async (title, key, token) =>
        (await shared.mutate('createMission', { title, idempotencyKey: key }, { token })).mission.id,
      rest: async (title, key, token) => {
        const headers = { ...bearer(token), 'idempotency-key': key };
        return (await shared.fetch('/api/missions', { method: 'POST', headers, body: JSON.stringify({ title }) })).body
          .id;
      },
      webSocket: async (title, key, token) => {
        const input = { title, idempotencyKey: key };
        const client = shared.client({ connectionParams: bearer(token) });
        const [data] = await client.run(mutation('createMission'), { input, consistency: 'PROJECTED' }).take(1);
        return data.createMission.mission.id;
      },
    };
    for (const [door, create] of Object.entries(doors)) {
      const ids = new Set<string>();
      for (const token of tokens) {
        const id = await create(`By ${token}`, door, token);
        expect(await create(`By ${token}`, door, token)).toBe(id);
        expect(await actorOf(shared, id, token)).toBe(`operator:${fingerprint(token)}`);
        ids.add(id);
      }
      expect(ids.size).toBe(2);
    }
  });

  it('is an operator when no tokens are set', async () => {
    expect(await actorOf(open, await open.newMission())).toBe('operator');
  });
});

describe('without tokens, a request', () => {
  it.each([
    'evil.example',
    'evil.example:8001',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '0.0.0.0',
    '[::2]',
  ])('under the host name %j is refused: a name may resolve to loopback', async (host) => {
    for (const path of ['/graphql', '/api/missions', '/metrics', '/readyz', '/playground/', '/']) {
      const { status, body } = await raw(open.url, path, { host });
      expect(status).toBe(403);
      expect(body.errors).toEqual([
        {
          message: expect.stringMatching(
            /^The Host header names .* Use http:\/\/127\.0\.0\.1 or set SHERATAN_API_TOKENS\.$/,
          ),
          extensions: { code: 'FORBIDDEN' },
        },
      ]);
    }
  });

  it.each(['localhost', 'localhost:8001', '127.0.0.1', '127.8.9.10:80', '[::1]:8001'])(
    'under the host name %s is served',
    async (host) => {
      expect(await raw(open.url, '/livez', { host })).toMatchObject({ status: 200 });
    },
  );
});

describe('a page of another site', () => {
  const own = () => new URL(node.url).host;

  it.each(['https://evil.example', 'http://127.0.0.1:1', 'http://localhost', 'null', 'file://', 'nonsense'])(
    'at %s is refused, with or without tokens',
    async (origin) => {
      for (const [one, headers] of [
        [node, bearer(TOKENS.operator)],
        [open, {}],
      ] as const) {
        const answer = await one.post({ query: '{ __typename }' }, { ...headers, origin });
        expect(answer.status).toBe(403);
        expect(answer.body.errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
        expect(answer.headers.get('access-control-allow-origin')).toBeNull();
      }
    },
  );

  it('is not allowed by a preflight', async () => {
    const answer = await open.fetch('/graphql', {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    });
    expect(answer.status).toBe(403);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('cannot send anything with a form or an image, although these send no origin', async () => {
    const query = 'mutation { createMission(input: { title: "T" }) { __typename } }';
    const simple = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: JSON.stringify({ query }) };
    for (const answer of [await open.fetch('/graphql', simple), await open.fetch(`/graphql?query=${query}`)]) {
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0].message).toMatch(/Cross-Site Request Forgery/);
    }
  });

  it('is distinguished from a page of this node', async () => {
    for (const origin of [node.url, `https://${own()}`]) {
      expect((await node.post({ query: '{ __typename }' }, { ...bearer(TOKENS.viewer), origin })).status).toBe(200);
    }
  });
});

it('does not log errors of clients', () => {
  expect([...node.logged, ...open.logged]).toEqual([]);
});
