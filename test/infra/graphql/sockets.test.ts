import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import WebSocket from 'ws';
import { TestNode, type Untyped } from '../../support/node.js';

const PROTOCOL = 'graphql-transport-ws';
const VIEWER = 'viewer-token-0123456789';
const OPERATOR = 'operator-token-0123456789';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

const FOLLOW = 'subscription { projectionProgress { name } }';

/** A bare socket, with which a test can break the protocol. */
class Raw {
  readonly messages: Untyped[] = [];
  readonly socket: WebSocket;

  constructor(url: string, protocols: readonly string[] = [PROTOCOL]) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, [...protocols]);
    this.socket.on('message', (data) => this.messages.push(JSON.parse((data as Buffer).toString())));
    this.socket.on('error', () => undefined);
  }

  async open(): Promise<this> {
    await once(this.socket, 'open');
    return this;
  }

  async introduced(): Promise<this> {
    await this.open();
    this.send({ type: 'connection_init' });
    await expect.poll(() => this.messages).toContainEqual({ type: 'connection_ack' });
    return this;
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** The code and reason with which the server closed. */
  async closed(): Promise<{ code: number; reason: string }> {
    const [code, reason] = (await once(this.socket, 'close')) as [number, Buffer];
    return { code, reason: reason.toString() };
  }
}

/** The response that refused an upgrade. */
async function refusal(url: string, path: string, headers: Record<string, string> = {}): Promise<Untyped> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, PROTOCOL, { headers });
  socket.on('error', () => undefined);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString();
  return { status: response.statusCode, type: response.headers['content-type'], body: JSON.parse(text) };
}

/** A client that asks for an upgrade that is refused, and never closes its half of the connection. */
async function lingering(url: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  socket.write('GET /nope HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString()));
  await once(socket, 'end');
  expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
  return socket;
}

describe('a socket', () => {
  it('that does not send connection_init is closed with 4408', async () => {
    const raw = await new Raw(node.url).open();
    expect(await raw.closed()).toEqual({ code: 4408, reason: 'Connection initialisation timeout' });
  });

  it('that sends connection_init twice is closed with 4429', async () => {
    const raw = await new Raw(node.url).introduced();
    raw.send({ type: 'connection_init' });
    expect(await raw.closed()).toMatchObject({ code: 4429 });
  });

  it('that subscribes before connection_init is closed with 4401', async () => {
    const raw = await new Raw(node.url).open();
    raw.send({ id: '1', type: 'subscribe', payload: { query: FOLLOW } });
    expect(await raw.closed()).toMatchObject({ code: 4401 });
  });

  it.each(['not JSON', '5', '{}', '{"type":"start"}', '{"id":"1","type":"subscribe","payload":{"query":5}}'])(
    'that sends %s is closed with 4400',
    async (message) => {
      const raw = await new Raw(node.url).introduced();
      raw.send(message);
      expect(await raw.closed()).toMatchObject({ code: 4400 });
    },
  );

  it('that uses the id of an open operation again is closed with 4409', async () => {
    const raw = await new Raw(node.url).introduced();
    for (let i = 0; i < 2; i += 1) raw.send({ id: 'same', type: 'subscribe', payload: { query: FOLLOW } });
    expect(await raw.closed()).toMatchObject({ code: 4409 });
  });

  it('that names no protocol is closed with 4406', async () => {
    const raw = new Raw(node.url, []);
    expect(await raw.closed()).toMatchObject({ code: 4406 });
  });

  it('is answered when it pings', async () => {
    const raw = await new Raw(node.url).introduced();
    raw.send({ type: 'ping' });
    await expect.poll(() => raw.messages).toContainEqual({ type: 'pong' });
    raw.socket.terminate();
  });

  it('at another path than /graphql is refused with 404', async () => {
    for (const path of ['/', '/graphqlx', '/graphql/x', '/api/status']) {
      expect(await refusal(node.url, path)).toEqual({
        status: 404,
        type: 'application/json',
        body: { errors: [{ message: 'WebSockets are served only at /graphql.', extensions: { code: 'NOT_FOUND' } }] },
      });
    }
  });

  it('that was refused is destroyed, although the client keeps its half open', async () => {
    const socket = await lingering(node.url);
    const gone = once(socket, 'error');
    const writing = setInterval(() => socket.write('still here'), 10);
    onTestFinished(() => clearInterval(writing));
    expect(await gone).toMatchObject([{ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) }]);
  });

  it('from a page of another site, or with the Host header of another, is refused with 403', async () => {
    for (const headers of [{ origin: 'https://evil.example' }, { origin: 'null' }, { host: 'evil.example' }]) {
      expect(await refusal(node.url, '/graphql', headers)).toMatchObject({
        status: 403,
        body: { errors: [{ extensions: { code: 'FORBIDDEN' } }] },
      });
    }
  });

  it('from a page of this node is served', async () => {
    const client = node.client({ headers: { origin: node.url } });
    expect(await client.run(FOLLOW).take(1)).toHaveLength(1);
  });
});

describe('a connection', () => {
  it('has at most 100 open operations, and may complete some to start others', async () => {
    const client = node.client();
    const feeds = Array.from({ length: 100 }, () => client.run(FOLLOW));
    for (const feed of feeds) await feed.take(1);
    const refused = await client.run(FOLLOW).refused();
    expect(refused).toEqual([
      {
        message: 'A connection may have at most 100 open operations. Complete some before you start another.',
        extensions: { code: 'TOO_MANY_OPERATIONS' },
      },
    ]);
    feeds[0]?.end();
    await expect.poll(() => client.run('{ __typename }').take(1)).toEqual([{ __typename: 'Query' }]);
    const another = node.client();
    expect(await another.run(FOLLOW).take(1)).toHaveLength(1);
  });

  it('that is interrupted is removed', async () => {
    const sockets = async (): Promise<string | undefined> =>
      /^sheratan_websockets (\d+)$/m.exec((await node.fetch('/metrics')).text)?.[1];
    const before = await sockets();
    const client = node.client();
    for (let i = 0; i < 20; i += 1) client.run('subscription { eventRecorded { position } }');
    await client.run(FOLLOW).take(1);
    expect(await sockets()).not.toBe(before);
    client.terminate();
    await client.closed();
    await node.newMission();
    await expect.poll(sockets).toBe(before);
  });
});

describe('more than 1,000 sockets', () => {
  it('are refused with 503, until some are closed', async () => {
    const crowded = await TestNode.start();
    onTestFinished(() => crowded.stop());
    const connect = async () => {
      const raw = await new Raw(crowded.url).open();
      raw.send({ type: 'connection_init' });
      return raw;
    };
    const sockets: Raw[] = [];
    // In groups: on a slow machine, all together take longer than the five seconds that a client has for connection_init.
    while (sockets.length < 1_000) sockets.push(...(await Promise.all(Array.from({ length: 50 }, connect))));
    expect(await refusal(crowded.url, '/graphql')).toMatchObject({
      status: 503,
      body: {
        errors: [
          {
            message: 'This node already has 1000 WebSocket clients, the maximum. Try again later.',
            extensions: { code: 'TOO_MANY_CLIENTS' },
          },
        ],
      },
    });
    const [first] = sockets;
    first?.socket.close();
    await expect.poll(async () => (await crowded.fetch('/metrics')).text).toMatch(/^sheratan_websockets [0-9]{1,3}$/m);
    expect(await crowded.client().run(FOLLOW).take(1)).toHaveLength(1);
  });
});

describe('a node that stops', () => {
  it('closes its sockets with 1001, and its subscriptions end', async () => {
    const stopping = await TestNode.start();
    onTestFinished(() => stopping.stop());
    const clients = [stopping.client(), stopping.client()];
    const feeds = clients.flatMap((client) => [
      client.run(FOLLOW),
      client.run('subscription { missionChanged { position } }'),
      client.run('subscription { eventRecorded { position } }'),
    ]);
    await Promise.all([feeds[0]?.take(1), feeds[3]?.take(1)]);
    const idle = await new Raw(stopping.url).introduced();
    const idleClosed = idle.closed();
    await stopping.halt();
    for (const client of clients) expect(await client.closed()).toMatchObject({ code: 1001 });
    expect(await idleClosed).toMatchObject({ code: 1001 });
    await Promise.all(feeds.map((feed) => feed.over()));
    expect(stopping.logged).toEqual([]);
  });
});

describe('a node that stops while a client keeps its half open', () => {
  it('stops without waiting for the client', async () => {
    const stopping = await TestNode.start();
    onTestFinished(() => stopping.stop());
    const { url } = stopping;
    await lingering(url);
    await stopping.halt();
    await expect(fetch(url)).rejects.toThrow();
  });
});

describe('with tokens', () => {
  let guarded: TestNode;
  beforeAll(async () => {
    guarded = await TestNode.start({ SHERATAN_API_TOKENS: `${VIEWER}:viewer,${OPERATOR}:operator` });
  });
  afterAll(() => guarded.stop());

  const CREATE = 'mutation { createMission(input: { title: "T" }) { __typename } }';
  const made = [{ createMission: { __typename: 'CreateMissionPayload' } }];

  it.each([
    ['none', {}],
    ['an unknown one', { authorization: 'Bearer unknown-token-0123456789' }],
    ['one without its scheme', { authorization: OPERATOR }],
    ['one of another scheme', { authorization: `Basic ${OPERATOR}` }],
    ['part of one', { authorization: `Bearer ${OPERATOR.slice(0, -1)}` }],
    ['one in a list', { authorization: [`Bearer ${OPERATOR}`] }],
  ])('in connectionParams, %s is refused with 4403', async (_what, connectionParams) => {
    const client = guarded.client({ connectionParams });
    client.run(FOLLOW);
    expect(await client.closed()).toEqual({ code: 4403, reason: 'Forbidden' });
  });

  it('accepts a token from connectionParams, in either spelling, or from the request', async () => {
    for (const options of [
      { connectionParams: { authorization: `Bearer ${OPERATOR}` } },
      { connectionParams: { Authorization: `bearer ${OPERATOR}` } },
      { headers: { authorization: `Bearer ${OPERATOR}` } },
    ]) {
      expect(await guarded.client(options).run(CREATE).take(1)).toEqual(made);
    }
  });

  it('prefers the token in connectionParams to the one in the request', async () => {
    const client = guarded.client({
      connectionParams: { authorization: `Bearer ${VIEWER}` },
      headers: { authorization: `Bearer ${OPERATOR}` },
    });
    expect(await client.run(CREATE).refused()).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
  });

  it('allows a viewer to subscribe, but not to write', async () => {
    const client = guarded.client({ connectionParams: { authorization: `Bearer ${VIEWER}` } });
    const feed = client.run('subscription { missionChanged { mission { title } } }');
    await client.run(FOLLOW).take(1);
    expect(await client.run(CREATE).refused()).toEqual([
      expect.objectContaining({
        message: 'This request requires the role operator; the token has the role viewer.',
        extensions: { code: 'FORBIDDEN' },
      }),
    ]);
    await guarded.mutate('createMission', { title: 'A mission' }, { token: OPERATOR });
    expect(await feed.take(1)).toEqual([{ missionChanged: { mission: { title: 'A mission' } } }]);
  });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
