import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { encode } from '@ipld/dag-cbor';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock, type Clock } from '../../../../src/infra/clock.js';
import { HostError } from '../../../../src/infra/offgrid/replicator/host-port.js';
import { HttpHost } from '../../../../src/infra/offgrid/replicator/http-host.js';
import { clockSignature } from '../../../../src/infra/offgrid/wire/auth.js';
import { AUTH_KEY, newHost } from '../../../support/offgrid/host.js';
import { clientOf, ORIGIN, to, Writer } from '../../../support/offgrid/writer.js';

const FINGERPRINT = '0123456789abcdef0123456789abcdef';

/** Listens until the test is over. */
async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A client of one who answers as told. */
async function clientOfLiar(answer: RequestListener, clock: Clock = systemClock): Promise<HttpHost> {
  return new HttpHost(await listen(createServer(answer)), AUTH_KEY, clock, FINGERPRINT);
}

function answering(status: number, body: string | Uint8Array, headers: Record<string, string> = {}): RequestListener {
  return (_request, response) => response.writeHead(status, headers).end(body);
}

function clockAhead(ms: number): Clock {
  return { now: () => new Date(Date.now() + ms) };
}

describe('a client of a host', () => {
  it.each([-3_600_000, 3_600_000, -86_400_000_000])('whose clock is %d ms off learns that, once', async (aheadMs) => {
    const host = await newHost();
    const client = new HttpHost(`${host.url}/`, AUTH_KEY, clockAhead(aheadMs));
    await to(client);
    const fetched = vi.spyOn(globalThis, 'fetch');
    onTestFinished(() => fetched.mockRestore());
    const writer = new Writer();
    await writer.claim(client);
    expect(fetched).toHaveBeenCalledTimes(3);
    await writer.ship(client, writer.events(1, 2));
    expect(await client.head(ORIGIN, 'c')).toMatchObject({ sequence: 2 });
    expect(fetched).toHaveBeenCalledTimes(5);
  });

  it('tells who the host is', async () => {
    const host = await newHost();
    const { id, verifyKey } = host.identity;
    expect(await clientOf(host).key()).toEqual({ host: id, verifyKey });
  });

  it('with another key is not let in', async () => {
    const host = await newHost();
    await expect(new Writer().claim(clientOf(host, 'another key'))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    const elsewhere = new HttpHost(host.url, AUTH_KEY, systemClock, FINGERPRINT);
    await expect(new Writer().claim(elsewhere)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('passes on what a host refuses', async () => {
    const body = JSON.stringify({
      error: { code: 'GAP', message: 'no' },
      head: 7,
      sequence: 8,
      granted: { epoch: 2, writer: 'w', challenge: 'c', signature: 's' },
      more: 1,
    });
    const client = await clientOfLiar(answering(409, body));
    await expect(client.ship(ORIGIN, new Uint8Array())).rejects.toMatchObject({
      code: 'GAP',
      details: { head: 7, sequence: 8, granted: { epoch: 2, writer: 'w', challenge: 'c', signature: 's' } },
      retryAfterMs: undefined,
    });
  });

  it.each([
    ['1', 1_000],
    ['0', 0],
    ['2.5', 2_500],
    ['999999', 300_000],
    ['Infinity', 300_000],
    ['-1', undefined],
    ['soon', undefined],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ])('says how long to leave it alone: %s', async (retryAfter, retryAfterMs) => {
    const body = JSON.stringify({ error: { code: 'BUSY', message: 'later' } });
    const client = await clientOfLiar(answering(503, body, { 'retry-after': retryAfter }));
    await expect(client.head(ORIGIN, 'c')).rejects.toMatchObject({ code: 'BUSY', retryAfterMs });
  });
});

describe('a forged clock', () => {
  const DATE = '4000000000';

  async function forged(prove: (nonce: string) => string, date = DATE) {
    const dates: string[] = [];
    const client = await clientOfLiar((request, response) => {
      dates.push(String(request.headers['x-offgrid-date']));
      const proof = prove(String(request.headers['x-offgrid-nonce']));
      response.writeHead(401, { 'x-offgrid-date': date, 'x-offgrid-signature': proof }).end('{}');
    });
    await expect(client.head(ORIGIN, 'c')).rejects.toMatchObject({ code: 'INTERNAL' });
    return dates;
  }

  it('is not believed without proof', async () => {
    const proofs = [
      () => '',
      () => 'a'.repeat(64),
      () => 'é'.repeat(64),
      (nonce: string) => clockSignature('another key', FINGERPRINT, nonce, DATE),
      (nonce: string) => clockSignature(AUTH_KEY, 'f'.repeat(32), nonce, DATE),
      () => clockSignature(AUTH_KEY, FINGERPRINT, '0'.repeat(32), DATE),
      (nonce: string) => clockSignature(AUTH_KEY, FINGERPRINT, nonce, '1'),
    ];
    for (const prove of proofs) expect(await forged(prove)).toHaveLength(1);
  });

  it('with proof is believed once a request, when it is one', async () => {
    const proveDate = (date: string) => (nonce: string) => clockSignature(AUTH_KEY, FINGERPRINT, nonce, date);
    const dates = await forged(proveDate(DATE));
    expect(dates).toHaveLength(2);
    expect(Math.abs(Number(dates[1]) - Number(DATE))).toBeLessThan(5);
    for (const date of ['never', '-1', '1e99', '9'.repeat(30)])
      expect(await forged(proveDate(date), date)).toHaveLength(1);
  });
});

describe('a host that lies', () => {
  const asks: [string, (client: HttpHost) => Promise<unknown>][] = [
    ['key', (client) => client.key()],
    ['head', (client) => client.head(ORIGIN, 'c')],
    ['root', (client) => client.rootAt(ORIGIN, 3)],
    ['events', (client) => client.events(ORIGIN, 0, 10)],
    ['batch', (client) => client.ship(ORIGIN, new Uint8Array(10))],
    ['claim', (client) => new Writer().claim(client)],
  ];
  const event = { sequence: 1, etype: 1, ts: 1, sealed: Buffer.from('sealed') };
  const lies: [string, string | Uint8Array][] = [
    ['text', 'hello'],
    ['a number', '7'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['an empty event', encode({})],
    ['half an event', encode(event).subarray(0, -1)],
    ['an event and noise', Buffer.concat([encode(event), Buffer.of(0xff)])],
    ['an event of a strange kind', encode({ ...event, sealed: 'sealed' })],
    ['an event with more', encode({ ...event, more: 1 })],
    ['event 0', encode({ ...event, sequence: 0 })],
    ['lists in lists', Buffer.alloc(1_000_000, 0x81)],
    ['lists of a million million', Buffer.from('9b000000e8d4a51000', 'hex')],
    ['JSON in JSON', '['.repeat(200_000)],
    ['a root of another size', JSON.stringify({ sequence: 4, root: 'a'.repeat(64) })],
    ['a root that is none', JSON.stringify({ sequence: 3, root: 'a'.repeat(63) })],
    ['a short key', JSON.stringify({ ed25519_verify_key: 'AAAA' })],
  ];

  it('is caught at everything it says', async () => {
    let lie: string | Uint8Array = '';
    const client = await clientOfLiar((_request, response) => response.end(lie));
    for (const [what, body] of lies) {
      lie = body;
      for (const [asked, ask] of asks) {
        const said = await ask(client).then(
          () => 'believed',
          (error: unknown) => (error instanceof HostError ? error.code : error),
        );
        expect(said, `${asked}: ${what}`).toBe('NONSENSE');
      }
    }
  });

  it('about why it refuses is told from one who says so', async () => {
    let lie = '';
    const client = await clientOfLiar((_request, response) => response.writeHead(409).end(lie));
    const error = (code: unknown) => ({ code, message: 'x'.repeat(10_000) });
    const refusals = [
      '',
      'no',
      '{}',
      JSON.stringify({ error: error('UNREACHABLE') }),
      JSON.stringify({ error: error('TIMEOUT') }),
      JSON.stringify({ error: error('NONSENSE') }),
      JSON.stringify({ error: error('constructor') }),
      JSON.stringify({ error: error('GAP'), head: -1 }),
      JSON.stringify({ error: error('GAP'), head: 1.5 }),
      JSON.stringify({ error: error('FENCED'), granted: { epoch: '9', writer: 'w' } }),
    ];
    for (const refusal of refusals) {
      lie = refusal;
      const failure = await client.head(ORIGIN, 'c').catch((reason: unknown) => reason);
      expect(failure, refusal.slice(0, 60)).toMatchObject({ code: 'INTERNAL' });
      expect((failure as Error).message.length).toBeLessThan(700);
    }
  });

  it('and sends without end is cut off', async () => {
    let sent = 0;
    const chunk = Buffer.alloc(256 * 1024, '[');
    const client = await clientOfLiar((_request, response) => {
      const more = () => {
        while (!response.destroyed) {
          sent += chunk.byteLength;
          if (!response.write(chunk)) return;
        }
      };
      response.on('drain', more);
      more();
    });
    for (const [, ask] of asks) {
      sent = 0;
      await expect(ask(client)).rejects.toMatchObject({ code: 'NONSENSE' });
      expect(sent).toBeLessThan(64 * 1024 * 1024);
    }
  });

  it('and sends elsewhere is not followed', async () => {
    let followed = 0;
    const elsewhere = await listen(createServer((_request, response) => response.end(String((followed += 1)))));
    const client = await clientOfLiar(answering(302, '', { location: elsewhere }));
    for (const [, ask] of asks) await expect(ask(client)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    expect(followed).toBe(0);
  });

  it.each([
    ['hangs up', (socket: Socket) => socket.end()],
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
    ['does not speak HTTP', (socket: Socket) => socket.end('220 mail ready\r\n')],
    ['hangs up in the middle', (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"tag"')],
    ['sends headers without end', (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(500_000)}`)],
  ])('and %s cannot be reached', async (_, act) => {
    const url = await listen(createTcpServer((socket) => socket.once('data', () => act(socket))));
    const client = new HttpHost(url, AUTH_KEY, systemClock, FINGERPRINT);
    for (const [, ask] of asks)
      await expect(ask(client)).rejects.toMatchObject({
        code: 'UNREACHABLE',
        message: expect.stringMatching(/\(.+\)/),
      });
  });

  it.each([
    ['says nothing', () => undefined],
    ['stops in the middle', (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"tag"')],
  ])('and %s is not waited for', async (_, act) => {
    const shortly = AbortSignal.timeout(100);
    const timeouts = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(shortly);
    onTestFinished(() => timeouts.mockRestore());
    const url = await listen(createTcpServer((socket) => socket.once('data', () => act(socket))));
    const client = new HttpHost(url, AUTH_KEY, systemClock, FINGERPRINT);
    await expect(client.head(ORIGIN, 'c')).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('and is not there cannot be reached', async () => {
    const server = createServer();
    const url = await listen(server);
    server.close();
    const client = new HttpHost(url, AUTH_KEY, systemClock);
    await expect(new Writer().claim(client)).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });
});
