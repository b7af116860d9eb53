import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { BrokerClient, BrokerError } from '../../../../src/infra/offgrid/broker/client.js';
import { AUTH_KEY, ManualClock, newBroker } from '../../../support/broker/broker.js';
import { startOldBroker } from '../../../support/broker/python.js';

const QUORUM = { id: 'core-1:1-500', kind: 'replica', required: 2, meta: { origin: 'cöre 😀', '\ufffd': 1, '😀': 2 } };
const ackOf = (nodeId: string, id = QUORUM.id) => ({ id, kind: QUORUM.kind, nodeId });
const HEARTBEAT = { nodeId: 'host-a', url: 'http://127.0.0.1:8081', prices: { chunk: 3 }, freeBytes: 1_000 };

function clientOf(url: string, { authKey = AUTH_KEY, clock = systemClock, timeoutMs = 5_000 } = {}): BrokerClient {
  return new BrokerClient({ url: `${url}/`, authKey, clock, timeoutMs });
}

/** A server with the given handler. */
async function serverThat(answers: RequestListener): Promise<string> {
  const server = createServer(answers);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** How a request failed. */
async function failureOf(asked: Promise<unknown>): Promise<BrokerError> {
  const failure: unknown = await asked.catch((error: unknown) => error);
  if (!(failure instanceof BrokerError)) throw new Error('it was to fail with a BrokerError', { cause: failure });
  return failure;
}

const BROKERS: [which: string, start: () => Promise<string>][] = [
  ['our broker', async () => (await newBroker(systemClock)).url],
  ['an old broker', () => oldBroker()],
];

let old: Awaited<ReturnType<typeof startOldBroker>> | undefined;
afterAll(() => old?.stop());

/** The address of an old broker; one serves all tests. */
async function oldBroker(): Promise<string> {
  old ??= await startOldBroker(AUTH_KEY);
  return old.url;
}

describe.each(BROKERS)('a client of %s', (_which, start) => {
  it('creates a record and acknowledges it until it is final', async () => {
    const client = clientOf(await start());
    expect(await client.status()).toMatchObject({ status: 'ok' });
    const made = await client.create(QUORUM);
    expect(made).toMatchObject({ ...QUORUM, acks: [], finalized: false });
    expect(await client.create(QUORUM)).toEqual(made);
    expect(await client.ack(ackOf('host-a'))).toEqual({ finalized: false, sumW: 1, required: 2 });
    expect(await client.ack(ackOf('host-a'))).toEqual({ finalized: false, sumW: 1, required: 2 });
    expect(await client.ack(ackOf('host-b'))).toEqual({ finalized: true, sumW: 2, required: 2 });
    const acks = ['host-a', 'host-b'].map((id) => ({ id, w: 1 }));
    expect(await client.create(QUORUM)).toMatchObject({ acks, finalized: true });
  });

  it('gets the policy', async () => {
    const client = clientOf(await start());
    expect(await client.policy('replica & more')).toEqual({
      weightDefault: 1,
      weights: {},
      decayHalfLifeS: 0,
      maxAgeS: 0,
    });
  });

  it('gets the reason for a refusal', async () => {
    const url = await start();
    const unknown = await failureOf(clientOf(url).ack(ackOf('host-a', 'nothing')));
    expect([unknown.code, unknown.message]).toEqual(['NOT_FOUND', expect.stringContaining('quorum record')]);
    const wrongKey = await failureOf(clientOf(url, { authKey: 'another key' }).create(QUORUM));
    expect([wrongKey.code, wrongKey.message]).toEqual(['UNAUTHORIZED', expect.stringContaining('sign')]);
  });
});

describe('a client', () => {
  it('announces hosts to our broker', async () => {
    const client = clientOf((await newBroker(systemClock)).url);
    expect(await client.hosts()).toEqual([]);
    expect(await client.announce(HEARTBEAT)).toBe(true);
    const lastSeen = expect.closeTo(Date.now() / 1_000, -1) as number;
    expect(await client.hosts()).toEqual([{ ...HEARTBEAT, state: 'active', score: expect.closeTo(0.5, 1), lastSeen }]);
  });

  it('detects that an old broker does not know hosts, and continues', async () => {
    const client = clientOf(await oldBroker());
    expect(await client.announce(HEARTBEAT)).toBe(false);
    expect(await client.hosts()).toBeUndefined();
  });

  it('uses the time of a current broker when its own clock is hours off', async () => {
    const { url } = await newBroker(systemClock);
    const clock = new ManualClock(1_000_000_000);
    const client = clientOf(url, { clock });
    const { ts } = await client.create(QUORUM);
    expect(ts).toBeGreaterThan(1_700_000_000);
    // Later requests succeed at the first attempt.
    expect(await client.ack(ackOf('host-a'))).toMatchObject({ sumW: 1 });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('requests_total{route="/quorum/create",method="POST",status="401"} 1');
    expect(metrics).not.toContain('route="/quorum/ack",method="POST",status="401"');
  });

  it('is refused by an old broker, which does not state its time, when its clock is hours off', async () => {
    const client = clientOf(await oldBroker(), { clock: new ManualClock(1_000_000_000) });
    const late = await failureOf(client.create(QUORUM));
    expect([late.code, late.message]).toEqual(['UNAUTHORIZED', expect.stringContaining('timestamp')]);
  });

  it('sends whole numbers only', async () => {
    const client = clientOf('http://127.0.0.1:1');
    for (const asked of [
      client.create({ ...QUORUM, required: 1.5 }),
      client.create({ ...QUORUM, meta: { deep: [2 ** 53] } }),
      client.announce({ ...HEARTBEAT, freeBytes: NaN }),
    ])
      expect((await failureOf(asked)).code).toBe('UNSENDABLE');
  });

  it('reports that no broker answers', async () => {
    const url = await serverThat(() => undefined);
    const failure = await failureOf(clientOf('http://127.0.0.1:1').status());
    expect([failure.code, failure.message]).toEqual(['UNREACHABLE', expect.stringContaining('http://127.0.0.1:1')]);
    const slow = await failureOf(clientOf(url, { timeoutMs: 50 }).status());
    expect([slow.code, slow.message]).toEqual(['TIMEOUT', expect.stringContaining('within 50 ms')]);
  });

  it('does not wait longer for an answer that never ends', async () => {
    const url = await serverThat((_request, response) => void response.write('{"status": "ok"'));
    expect((await failureOf(clientOf(url, { timeoutMs: 50 }).status())).code).toBe('TIMEOUT');
  });

  it.each([
    [200, '<html>', 'BAD_ANSWER'],
    [200, '{}', 'BAD_ANSWER'],
    [200, '', 'BAD_ANSWER'],
    [200, '{"ok": false, "error": "unknown"}', 'REFUSED'],
    [400, '{"error": "invalid json"}', 'REFUSED'],
    [500, '', 'REFUSED'],
  ])('turns the answer %d %s into the error %s', async (status, body, code) => {
    const url = await serverThat((_request, response) => {
      response.writeHead(status).end(body);
    });
    expect((await failureOf(clientOf(url).ack(ackOf('host-a')))).code).toBe(code);
  });

  it('follows no redirects', async () => {
    const url = await serverThat(({ url: path }, response) => {
      response.writeHead(path === '/hosts' ? 302 : 200, { location: '/elsewhere' }).end('[]');
    });
    expect((await failureOf(clientOf(url).hosts())).code).toBe('UNREACHABLE');
  });

  it('limits the size of an answer', async () => {
    const url = await serverThat((_request, response) => {
      response.on('error', () => undefined).end(Buffer.alloc(16 * 1024 * 1024 + 1, ' '));
    });
    expect((await failureOf(clientOf(url).hosts())).message).toContain('more than 16777216 bytes');
  });
});
