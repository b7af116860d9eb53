import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { encodeBatch } from '../../../../src/infra/offgrid/protocol/batch.js';
import { signClaim } from '../../../../src/infra/offgrid/protocol/claim.js';
import { decodeEntry, entryOf } from '../../../../src/infra/offgrid/protocol/entry.js';
import { openHead } from '../../../../src/infra/offgrid/protocol/head.js';
import { HttpExchange, type Patience } from '../../../../src/infra/offgrid/protocol/http-exchange.js';
import { HttpHostClient, type HttpHostClientOptions } from '../../../../src/infra/offgrid/protocol/http-host-client.js';
import { openTree } from '../../../../src/infra/offgrid/protocol/tree.js';
import { Front } from '../../../support/offgrid/front.js';
import { AUTH_KEY, newHost } from '../../../support/offgrid/host.js';
import { ORIGIN, Process, History, type HostAt } from '../../../support/offgrid/by-hand.js';

/** Time limits for tests: fractions of a second instead of up to minutes. */
const HASTY: Patience = {
  ...{ connectMs: 10_000, firstByteMs: 500, maxFirstByteMs: 1_500, lookMs: 20, windowMs: 300 },
  minBytesPerSecond: 20_000,
};

function clientAt(url: string, options: Partial<HttpHostClientOptions> = {}, patience?: Patience) {
  const exchange = new HttpExchange(url, patience);
  onTestFinished(() => {
    exchange.close();
  });
  return new HttpHostClient({ url, exchange, authKey: AUTH_KEY, clock: systemClock, ...options });
}

async function setUp() {
  const host = await newHost();
  const history = History.begin().on(6, { bytes: 500 });
  const process = new Process(history.root);
  const client = clientAt(host.url, { host: host.identity.id });
  const { verifyKey } = await client.keys();
  const claim = () => {
    const { epoch, writer } = process;
    const signed = signClaim({ host: host.identity.id, epoch, origin: ORIGIN, writer }, process.root.signingKey);
    return client.claim(ORIGIN, { key: process.key, claim: signed });
  };
  return { host, history, process, client, verifyKey, claim };
}

/** A server at its own URL. */
async function serverWith(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server between a core and a host, which changes the answers. */
function between(host: HostAt, change: (body: Buffer, response: ServerResponse) => void): Promise<string> {
  return serverWith((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = 'GET', url = '/', headers } = request;
      const { host: _host, connection: _connection, ...rest } = headers as Record<string, string>;
      const body = method === 'POST' ? { body: Buffer.concat(chunks) } : {};
      void fetch(`${host.url}${url}`, { method, headers: rest, ...body }).then(async (answer) => {
        response.statusCode = answer.status;
        for (const [name, value] of answer.headers) if (name.startsWith('x-')) response.setHeader(name, value);
        change(Buffer.from(await answer.arrayBuffer()), response);
      });
    });
  });
}

describe('a client of a host', () => {
  it('sends every request that a host serves', async () => {
    const { host, history, process, client, verifyKey, claim } = await setUp();
    expect(await client.keys()).toMatchObject({ host: host.identity.id });
    const granted = await claim();
    expect(openHead(granted.head, verifyKey).value.request).toEqual(new Uint8Array(granted.request));
    const batch = encodeBatch({ from: 1, tree: process.tree(history), events: history.events });
    const shipped = await client.ship(ORIGIN, batch);
    expect(openHead(shipped.head, verifyKey).value.request).toEqual(new Uint8Array(shipped.request));
    const { head, request } = await client.head(ORIGIN);
    const { value } = openHead(head, verifyKey);
    expect(value.request).toEqual(new Uint8Array(request));
    expect(openTree(value.tree!, process.key).value).toMatchObject({ sequence: 6 });
    expect(await client.roots(ORIGIN, 4)).toEqual({ head: history.rootAt(4), staged: null });
    const entries = await client.entries(ORIGIN, { of: 'head', after: 2, limit: 3 });
    expect(entries.map((entry) => decodeEntry(entry).ts)).toEqual(history.events.slice(2, 5).map((e) => entryOf(e).ts));
    const page = { of: 'head', after: 1, limit: 4, bytes: 100_000 } as const;
    expect(await client.events(ORIGIN, page)).toEqual(history.numbered(2, 5));
    expect(await client.damaged(ORIGIN, { after: 0, limit: 10 })).toEqual({ sequences: [] });
    expect(await client.mend(ORIGIN, history.numbered(1, 2))).toBe(2);
  });

  it('reports refusals as received', async () => {
    const { history, process, client, claim } = await setUp();
    await expect(client.events(ORIGIN, { of: 'head', after: 0, limit: 1, bytes: 1 })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    await claim();
    const batch = encodeBatch({ from: 5, tree: process.tree(history), events: history.events.slice(4) });
    await expect(client.ship(ORIGIN, batch)).rejects.toMatchObject({ code: 'GAP', refusal: { sequence: 0 } });
  });

  it('dates its requests by the clock of the host', async () => {
    const { host } = await setUp();
    for (const hours of [-5, 5]) {
      const clock = { now: () => new Date(Date.now() + hours * 3_600_000) };
      const client = clientAt(host.url, { clock, host: host.identity.id });
      await client.head(ORIGIN);
      await client.head(ORIGIN);
    }
  });

  it('learns which host answers if it is not known', async () => {
    const { host } = await setUp();
    const client = clientAt(host.url);
    expect((await client.head(ORIGIN)).request.byteLength).toBe(32);
  });

  it('repeats a request when a kept connection was closed', async () => {
    const { host } = await setUp();
    let answered = 0;
    const url = await between(host, (body, response) => {
      answered += 1;
      response.end(body, () => {
        // The connection is closed while the next request is being sent.
        setTimeout(() => response.socket?.destroy(), 5);
      });
    });
    const client = clientAt(url, { host: host.identity.id });
    for (let i = 0; i < 20; i += 1) {
      await client.head(ORIGIN);
      await sleep(i % 8);
    }
    expect(answered).toBeGreaterThanOrEqual(20);
  });

  it('sends no requests to a host of protocol 1', async () => {
    const old = await Front.of((await newHost()).url);
    old.handler = async (request, pass) => {
      const reply = await pass(request);
      const { protocol: _, ...keys } = JSON.parse((reply.body as Buffer).toString()) as Record<string, unknown>;
      return { ...reply, body: Buffer.from(JSON.stringify(keys)) };
    };
    await expect(clientAt(old.url).keys()).rejects.toMatchObject({
      code: 'OUTDATED',
      message: expect.stringMatching(/does not use protocol 2/),
    });
  });

  it('accepts no answer that is not authenticated by the host', async () => {
    const { host } = await setUp();
    const changes: readonly ((body: Buffer, response: ServerResponse) => void)[] = [
      (body, response) => response.end(Buffer.concat([body, Buffer.from([0])])),
      (body, response) => response.end(body.subarray(1)),
      (body, response) => {
        response.statusCode = 403;
        response.end(body);
      },
      (body, response) => {
        response.removeHeader('x-offgrid-answer');
        response.end(body);
      },
      (body, response) => {
        response.setHeader('x-offgrid-answer', '0'.repeat(64));
        response.end(body);
      },
      (_body, response) => response.end('<html>'),
      (_body, response) => response.socket?.destroy(),
      (_body, response) => response.end(Buffer.alloc(1_000_000)),
    ];
    for (const [i, change] of changes.entries()) {
      const client = clientAt(await between(host, change), { host: host.identity.id });
      await expect(client.head(ORIGIN), `${i}`).rejects.toMatchObject({ code: 'UNREACHABLE' });
    }
    const stolen = await between(host, (body, response) => response.end(body));
    const other = await newHost();
    await expect(clientAt(stolen, { host: other.identity.id }).head(ORIGIN)).rejects.toMatchObject({
      code: 'UNREACHABLE',
    });
    await expect(
      clientAt(host.url, { host: host.identity.id, authKey: 'another key' }).head(ORIGIN),
    ).rejects.toMatchObject({ code: 'UNREACHABLE', message: expect.stringMatching(/OFFGRID_AUTH_KEY/) });
  });

  it('ignores a proof of another time that is not the host’s', async () => {
    const { host } = await setUp();
    const url = await between(host, (body, response) => {
      response.statusCode = 401;
      response.setHeader('x-offgrid-date', '4000000000');
      response.setHeader('x-offgrid-signature', '0'.repeat(64));
      response.end(body);
    });
    await expect(clientAt(url, { host: host.identity.id }).head(ORIGIN)).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });
});

describe('a request of a client', () => {
  const host = '0'.repeat(32);

  it('fails when the server never answers', async () => {
    const url = await serverWith(() => undefined);
    await expect(clientAt(url, { host }, HASTY).head(ORIGIN)).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringMatching(/No answer arrived within/),
    });
  });

  /** These tests check the progress of an answer, not when it begins. */
  const BEGINNING = { firstByteMs: 10_000, maxFirstByteMs: 10_000 };

  it('fails when the answer stalls or drips', async () => {
    for (const everyMs of [20, 100_000]) {
      const url = await serverWith((_request, response) => {
        response.write('a');
        const timer = setInterval(() => response.write('a'), everyMs);
        response.once('close', () => {
          clearInterval(timer);
        });
      });
      await expect(clientAt(url, { host }, { ...HASTY, ...BEGINNING }).head(ORIGIN)).rejects.toMatchObject({
        code: 'TIMEOUT',
        message: expect.stringMatching(/The answer arrived at less than/),
      });
    }
  });

  it('fails when the server does not read the body', async () => {
    const url = await serverWith((request) => {
      request.pause();
    });
    const client = clientAt(url, { host }, { ...HASTY, firstByteMs: 60_000, maxFirstByteMs: 60_000 });
    await expect(client.ship(ORIGIN, new Uint8Array(8_000_000))).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringMatching(/The request was sent at less than/),
    });
  });

  it('fails when no server listens', async () => {
    await expect(clientAt('http://127.0.0.1:9', { host }).head(ORIGIN)).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  it('succeeds while the answer makes progress, however long it takes', async () => {
    const { host: real } = await setUp();
    const url = await between(real, (body, response) => {
      const bytes = [...body];
      const piece = Math.ceil(bytes.length / 50);
      const timer = setInterval(() => {
        response.write(Buffer.from(bytes.splice(0, piece)));
        if (bytes.length > 0) return;
        clearInterval(timer);
        response.end();
      }, 40);
    });
    // Far above the minimum rate, with a window that is longer than a pause of the machine.
    const patience = { ...HASTY, ...BEGINNING, windowMs: 1_000, minBytesPerSecond: 20 };
    const slow = clientAt(url, { host: real.identity.id }, patience);
    const begun = performance.now();
    await slow.head(ORIGIN);
    expect(performance.now() - begun).toBeGreaterThan(patience.windowMs);
  });
});
