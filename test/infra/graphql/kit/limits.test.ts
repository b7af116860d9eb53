import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { JOB, MISSION } from '../../../support/documents.js';
import { TestNode, type Answer, type Untyped } from '../../../support/node.js';

const LARGE = 2 * 1024 * 1024;

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

interface Refused {
  readonly message: string;
  readonly extensions?: { readonly code?: string };
}

/** No error reveals where it was thrown: it has no stack, no path and no internal name. */
function expectNothingLeaked(text: string): void {
  expect(text).not.toMatch(/node_modules|\.[jt]s\b|\bat \w+ \(|stack|SQLITE|\/(home|work|tmp|usr|root)\//);
  expect(text).not.toContain(node.folder);
}

function expectRefused(errors: readonly Refused[], code: string, message: RegExp): void {
  expect(errors.map(({ message }) => message).join('\n')).toMatch(message);
  for (const error of errors) expect(error.extensions).toEqual({ code });
  expectNothingLeaked(JSON.stringify(errors));
}

async function overWebSocket(query: string, variables: Record<string, unknown> = {}): Promise<readonly Refused[]> {
  const client = node.client();
  const feed = client.run(query, variables);
  await feed.over();
  expect(feed.values).toEqual([]);
  // The connection is still usable.
  expect(await client.run('{ __typename }').take(1)).toEqual([{ __typename: 'Query' }]);
  await client.dispose();
  return feed.errors;
}

const times = (count: number, part: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => part(i)).join(' ');
const nested = (levels: number) =>
  `{ node(id: "m") { ... on Task { ${'mission { tasks { edges { node { '.repeat(levels)} id ${'} } } }'.repeat(levels)} } } }`;
/** Fragments that each spread the next one twice. */
const doubling = (count: number) =>
  `{ node(id: "m") { ...F0 } } ${times(count, (i) => `fragment F${i} on Job { a: mission { id } task { jobs { edges { node { ...F${i + 1} } } } } b: task { jobs { edges { node { ...F${i + 1} } } } } }`)} fragment F${count} on Job { id }`;

describe('a document', () => {
  it.each([
    ['is deeper than 10', nested(3), /^Query depth limit of 10 exceeded, found 15\.$/m],
    [
      'has more than 30 aliases',
      `{ ${times(31, (i) => `a${i}: projections { name }`)} }`,
      /^Aliases limit of 30 exceeded/m,
    ],
    [
      'costs more than 20,000',
      `{ missions(first: 100) { edges { node { ${times(12, (i) => `a${i}: tasks(first: 3) { edges { node { id name } } }`)} } } } }`,
      /^Query Cost limit of 20000 exceeded/m,
    ],
    [
      'has more than 50 directives',
      `{ ${times(51, () => '__typename @skip(if: false)')} }`,
      /^Directives limit of 50 exceeded/m,
    ],
    ['doubles its cost by each of its fragments', doubling(20), /limit of \d+ exceeded|too many selections/],
    [
      'repeats a field 1,000 times',
      `{ ${'__typename '.repeat(1_000)} }`,
      /^The document selects the same fields too often/,
    ],
    [
      'spreads a fragment in itself',
      '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }',
      /within itself/,
    ],
    ['asks for a field that is not there', '{ misions { id } }', /Cannot query field "misions"/],
    ['asks for an argument that is not there', '{ mission(id: "m", when: 3) { id } }', /Unknown argument "when"/],
    [
      'has a literal of another type',
      '{ missions(first: "ten") { totalCount } }',
      /Int cannot represent non-integer value: "ten"/,
    ],
    [
      'has a value that is not in the enum',
      '{ missions(filter: { statuses: [GONE] }) { totalCount } }',
      /"GONE" does not exist/,
    ],
  ])('that %s is refused', async (_what, query, message) => {
    const answer = await node.ask(query);
    expect(answer.status).toBe(200);
    expect(answer.body).not.toHaveProperty('data');
    expectRefused(answer.body.errors, 'GRAPHQL_VALIDATION_FAILED', message);
    expectRefused(await overWebSocket(query), 'GRAPHQL_VALIDATION_FAILED', message);
  });

  it.each([
    ['is no GraphQL', '{ missions {', /^Syntax Error: Expected Name, found <EOF>/],
    ['has more than 2,000 tokens', `{ ${'__typename '.repeat(2_000)} }`, /more that 2000 tokens/],
    ['nests without end', '{ a '.repeat(100_000), /more that 2000 tokens/],
  ])('that %s is refused', async (_what, query, message) => {
    expectRefused((await node.ask(query)).body.errors, 'GRAPHQL_PARSE_FAILED', message);
    expectRefused(await overWebSocket(query), 'GRAPHQL_PARSE_FAILED', message);
  });

  it('up to the limits is answered', async () => {
    for (const query of [
      nested(1),
      `{ ${times(30, (i) => `a${i}: projections { name }`)} }`,
      `{ ${times(50, (i) => `a${i}: __typename @skip(if: false)`)} }`,
      `{ ${'projections { name } '.repeat(400)} }`,
    ]) {
      await node.gql(query);
      expect(await node.client().run(query).take(1)).toHaveLength(1);
    }
  });

  const page = (size: string, within: string) => `${size} { edges { node { id ${within} } } }`;
  const pages = (size: string) => page(`missions${size}`, page(`tasks${size}`, page(`jobs${size}`, '')));

  it.each([
    ['of variables', `query ($n: Int!) { ${pages('(first: $n)')} }`, 1_010_100],
    [
      'in fragments',
      `query ($n: Int!) { ${page('missions(first: $n)', '...A ...A')} } fragment A on Mission { ${page('tasks(first: $n)', '')} }`,
      20_100,
    ],
    [
      'under many names',
      `query ($n: Int!) { ${times(3, (i) => `a${i}: ${page('missions(first: $n)', page('tasks(first: $n)', ''))}`)} }`,
      30_300,
    ],
  ])('that requests more than 20,000 rows by pages %s is refused', async (_what, query, rows) => {
    const message = new RegExp(
      `^The document requests up to ${rows} rows; at most 20000 are allowed, .* Request smaller pages with`,
    );
    expectRefused((await node.ask(query, { n: 1 })).body.errors, 'GRAPHQL_VALIDATION_FAILED', message);
    expectRefused(await overWebSocket(query, { n: 1 }), 'GRAPHQL_VALIDATION_FAILED', message);
  });

  it('may request the largest page with every field, and usual pages within pages', async () => {
    const mission = `${MISSION} jobCounts { pending dispatched completed failed cancelled }`;
    for (const query of [
      `missions(first: 100) { totalCount pageInfo { hasNextPage endCursor } edges { cursor node { ${mission} } } }`,
      `jobs(first: 100) { totalCount pageInfo { hasNextPage endCursor } edges { cursor node { ${JOB} } } }`,
      'events(first: 100) { edges { cursor node { id position stream revision type etype data recordedAt metadata { at actor correlationId causationId schemaVersion } } } }',
      pages(''),
    ]) {
      await node.gql(`{ ${query} }`);
    }
    await node.gql(`query ($n: Int!) { ${page('missions(first: $n)', page('tasks(first: $n)', ''))} }`, { n: 100 });
  });

  it('with several operations requires the name of one', async () => {
    const query = 'query A { __typename } query B { projections { name } }';
    const message = /[Uu]nknown operation|multiple operations|no name was given/;
    expectRefused((await node.ask(query)).body.errors, 'OPERATION_RESOLUTION_FAILURE', message);
    expectRefused(await overWebSocket(query), 'OPERATION_RESOLUTION_FAILURE', message);
    const named = await node.post({ query, operationName: 'A' });
    expect(named.body).toEqual({ data: { __typename: 'Query' } });
  });

  it('gets no suggestions for misspelt fields', async () => {
    const query = '{ mission(id: "m") { titel } }';
    for (const errors of [(await node.ask(query)).body.errors, await overWebSocket(query)]) {
      expect(JSON.stringify(errors)).not.toContain('title');
    }
  });
});

describe('variables', () => {
  it.each([
    [
      'a text for a number',
      'query ($v: Int!) { missions(first: $v) { totalCount } }',
      'ten',
      /non-integer value: "ten"/,
    ],
    ['a number out of range', 'query ($v: Int!) { missions(first: $v) { totalCount } }', 2 ** 31, /non 32-bit/],
    ['null where it must not be', 'query ($v: Int!) { missions(first: $v) { totalCount } }', null, /must not be null/],
    ['a number for a position', 'query ($v: Position) { missions(at: $v) { totalCount } }', 5, /A Position is text/],
    ['an object for an id', 'query ($v: ID!) { mission(id: $v) { id } }', {}, /ID cannot represent/],
    [
      'a list for a filter',
      'query ($v: MissionFilter) { missions(filter: $v) { totalCount } }',
      'x',
      /to be an object/,
    ],
    [
      'a field no input has',
      'query ($v: JobFilter) { jobs(filter: $v) { totalCount } }',
      { x: 1 },
      /"x" is not defined/,
    ],
    [
      'a status there is not',
      'query ($v: [JobStatus!]) { jobs(filter: { statuses: $v }) { totalCount } }',
      ['OPEN'],
      /"OPEN"/,
    ],
    [
      'a subscription of numbers',
      'subscription ($v: [String!]) { jobChanged(kinds: $v) { position } }',
      [1],
      /non string value: 1/,
    ],
  ])('with %s are refused', async (_what, query, v, message) => {
    if (!query.startsWith('subscription')) {
      expectRefused((await node.ask(query, { v })).body.errors, 'BAD_USER_INPUT', message);
    }
    expectRefused(await overWebSocket(query, { v }), 'BAD_USER_INPUT', message);
  });

  it('with texts that are too long are refused with the name of the field', async () => {
    const query = `mutation ($title: String!, $tags: [String!]) { createMission(input: { title: $title, tags: $tags }) {
      ... on InvalidInput { code fields { path message } } } }`;
    for (const [path, variables] of [
      ['title', { title: 't'.repeat(500_000) }],
      ['tags', { title: 'Tags', tags: Array.from({ length: 10_000 }, (_, i) => `tag ${i}`) }],
    ] as const) {
      const { createMission } = await node.gql(query, variables);
      expect(createMission).toMatchObject({ code: 'INVALID_INPUT', fields: [{ path }] });
      expect(JSON.stringify(createMission).length).toBeLessThan(1_000);
      const [overSocket] = await node.client().run(query, variables).take(1);
      expect(overSocket.createMission).toEqual(createMission);
    }
  });

  it.each([
    ['filter.streams', 'query', 'EventFilter', 'events(filter: $v) { edges { cursor } }'],
    ['filter.types', 'subscription', 'EventFilter', 'eventRecorded(filter: $v) { position }'],
    ['filter.statuses', 'query', 'MissionFilter', 'missions(filter: $v) { totalCount }'],
    ['filter.statuses', 'query', 'JobFilter', 'jobs(filter: $v) { totalCount }'],
    ['filter.kinds', 'query', 'JobFilter', 'jobs(filter: $v) { totalCount }'],
    ['kinds', 'subscription', '[String!]', 'jobChanged(kinds: $v) { position }'],
  ])('with a list have at most 100 values: %s of a %s of %s', async (name, kind, type, field) => {
    const document = `${kind} ($v: ${type}) { ${field} }`;
    const variables = (count: number) => {
      const list = Array<string>(count).fill(name.endsWith('statuses') ? 'COMPLETED' : 'x');
      return { v: type.startsWith('[') ? list : { [name.replace('filter.', '')]: list } };
    };
    for (const count of [101, 40_000]) {
      const message = `${name} accepts at most 100 values; it has ${count}.`;
      expectRefused(await overWebSocket(document, variables(count)), 'BAD_USER_INPUT', new RegExp(`^${message}$`));
      if (kind === 'query')
        expect(await node.refusal(document, variables(count))).toEqual({ code: 'BAD_USER_INPUT', message });
    }
    if (kind === 'query') await node.gql(document, variables(100));
  });

  it.each(['', 'nothing has this id', "' OR 1=1 --", '\u0000', '💥'.repeat(1_000)])(
    'with the id %j find nothing',
    async (id) => {
      const query =
        'query ($id: ID!) { node(id: $id) { id } mission(id: $id) { id } task(id: $id) { id } job(id: $id) { id } }';
      const nothing = { node: null, mission: null, task: null, job: null };
      expect(await node.gql(query, { id })).toEqual(nothing);
      expect(await node.client().run(query, { id }).take(1)).toEqual([nothing]);
    },
  );
});

describe('a request', () => {
  const expectBad = ({ status, body, text }: Answer, expected: number, code: string, message: RegExp) => {
    expect(status).toBe(expected);
    expectRefused(body?.errors ?? [{ message: text }], code, message);
  };

  it.each(['/graphql', '/api/missions'])('of 2 MiB to %s is refused with 413', async (path) => {
    const body = JSON.stringify({ query: '{ __typename }', title: 'T', padding: 'p'.repeat(LARGE) });
    const answer = await node.fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    expectBad(answer, 413, 'BODY_TOO_LARGE', /^The body is larger than 1 MiB\. Send less data per request\.$/);
  });

  it('of 2 MiB without a content-length is also refused with 413', async () => {
    const chunk = new TextEncoder().encode(' '.repeat(64 * 1024));
    let left = LARGE / chunk.length;
    const body = new ReadableStream({
      pull: (controller) => {
        if (left-- > 0) controller.enqueue(chunk);
        else controller.close();
      },
    });
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' } as const;
    expectBad(await node.fetch('/graphql', init), 413, 'BODY_TOO_LARGE', /1 MiB/);
  });

  it('just below 1 MiB is answered', async () => {
    const query = '{ __typename }'.padEnd(1024 * 1024 - 100);
    expect(await node.gql(query)).toEqual({ __typename: 'Query' });
  });

  it.each([
    ['is no JSON', '{"query": ', /not valid JSON/],
    ['is empty', '', /cannot be empty/],
    ['is a number', '5', /body/i],
    ['has no query', '{"variables":{}}', /query/],
    ['has a query that is no text', '{"query":5}', /must be strings/],
    ['has variables that are a list', '{"query":"{ __typename }","variables":[1]}', /must be an object/],
    ['is a batch', '[{"query":"{ __typename }"},{"query":"{ __typename }"}]', /batching disabled/],
    ['is a batch of one', '[{"query":"{ __typename }"}]', /batching disabled/],
  ])('that %s is refused with 400', async (_what, body, message) => {
    expectBad(await node.post(body), 400, 'BAD_REQUEST', message);
  });

  it('of another content type is refused', async () => {
    for (const type of ['application/xml', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      const answer = await node.post('query={__typename}', { 'content-type': type });
      expectBad(answer, 415, 'UNSUPPORTED_MEDIA_TYPE', /content-type: application\/json/);
    }
  });
});

describe('a message over WebSocket', () => {
  it('of 2 MiB closes the connection with 1009, and nothing is printed', async () => {
    const printed = vi.spyOn(console, 'error');
    const client = node.client();
    await client.run('subscription { projectionProgress { name } }').take(1);
    client.run('{ __typename }'.padEnd(LARGE));
    expect(await client.closed()).toMatchObject({ code: 1009 });
    expect(printed).not.toHaveBeenCalled();
  });
});

describe('without introspection', () => {
  let closed: TestNode;
  beforeAll(async () => {
    closed = await TestNode.start({ SHERATAN_INTROSPECTION: 'false' });
  });
  afterAll(() => closed.stop());

  const refused = [
    ['{ __schema { types { name } } }', /introspection/i],
    ['{ __type(name: "Mission") { fields { name } } }', /introspection/i],
  ] as const;

  it.each(refused)('%s is refused', async (query, message) => {
    expectRefused((await closed.ask(query)).body.errors, 'GRAPHQL_VALIDATION_FAILED', message);
    const feed = closed.client().run(query);
    expectRefused(await feed.refused(), 'GRAPHQL_VALIDATION_FAILED', message);
  });

  it.each(refused)('%s is answered when introspection is enabled', async (query) => {
    const data: Untyped = await node.gql(query);
    expect(await node.client().run(query).take(1)).toEqual([data]);
  });

  it('other queries are answered', async () => {
    const query = '{ projections { __typename name } }';
    const data = { projections: ['missions', 'outbox'].map((name) => ({ __typename: 'Projection', name })) };
    expect(await closed.gql(query)).toEqual(data);
    expect(await closed.client().run(query).take(1)).toEqual([data]);
  });
});

afterEach(async () => {
  const query = 'mutation { createMission(input: { title: "Still here" }) { __typename } }';
  expect(await node.gql(query)).toEqual({ createMission: { __typename: 'CreateMissionPayload' } });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
