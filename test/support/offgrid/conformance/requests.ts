import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_ADDRESS,
  RESERVED_CONNECTIONS,
} from '../../../../src/infra/offgrid/host/connection-limits.js';
import {
  ANSWER_HEADER,
  bodyHashOf,
  clockSignature,
  hostKeyOf,
  isAnswerSignature,
  requestHeaders,
} from '../../../../src/infra/offgrid/protocol/authentication.js';
import { encodeMend } from '../../../../src/infra/offgrid/protocol/mend.js';
import { decodeRefusal } from '../../../../src/infra/offgrid/protocol/refusal.js';
import { AUTH_KEY } from '../host.js';
import { History, ORIGIN, Process, send, type HostAt } from '../by-hand.js';
import type { StartHost } from './conforming-host.js';

/** A request that needs no origin. */
export const HEAD = `/replica/${ORIGIN}/head?challenge=${'0'.repeat(64)}`;
const EVENTS = `/replica/${ORIGIN}/events`;
const NO_BODY = new Uint8Array();

interface Signed {
  readonly method?: string;
  readonly path?: string;
  readonly body?: Uint8Array;
  readonly nowMs?: number;
  readonly nonce?: string;
  readonly authKey?: string;
  readonly hostId?: string;
}

/** The headers of a request. @param signed what is signed, where it differs from the request */
export function headersFor(host: HostAt, signed: Signed = {}) {
  const {
    method = 'GET',
    path = HEAD,
    body = NO_BODY,
    nowMs = Date.now(),
    nonce = randomBytes(16).toString('hex'),
  } = signed;
  const key = hostKeyOf(signed.authKey ?? AUTH_KEY, host.identity.id);
  const date = String(Math.floor(nowMs / 1_000));
  return requestHeaders(key, {
    host: signed.hostId ?? host.identity.id,
    method,
    path,
    date,
    nonce,
    bodyHash: bodyHashOf(body),
  });
}

/** Sends a request, and checks the HMAC of the answer if it has one. The code is that of the refusal, or OK. */
export async function ask(host: HostAt, path: string, headers: Readonly<Record<string, string>>, body?: Uint8Array) {
  const init = body === undefined ? { headers } : { headers, method: 'POST', body: Buffer.from(body) };
  const answer = await fetch(`${host.url}${path}`, init);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const nonce = /^[0-9a-f]{32}$/.test(headers['x-offgrid-nonce'] ?? '') ? headers['x-offgrid-nonce']! : '';
  const lines = { host: host.identity.id, nonce, status: answer.status, body: bytes };
  const key = hostKeyOf(AUTH_KEY, host.identity.id);
  const signature = answer.headers.get(ANSWER_HEADER);
  const isProven = signature !== null;
  if (isProven) expect(isAnswerSignature(key, lines, signature)).toBe(true);
  const { status, ok } = answer;
  return { status, isProven, code: ok ? 'OK' : decodeRefusal(bytes).code, headers: answer.headers };
}

/** The cases for callers without the key, and for wrong requests. */
export function requestCases(start: StartHost): void {
  describe('a request', () => {
    const changed: readonly (readonly [string, Signed | ((host: HostAt) => Record<string, string>)])[] = [
      ['without headers', () => ({})],
      ['signed with another key', { authKey: 'another key' }],
      ['signed for another host', { hostId: '0'.repeat(32) }],
      ['signed for another path', { path: `${HEAD}1` }],
      ['signed for another method', { method: 'POST' }],
      ['with an invalid nonce', { nonce: 'x' }],
      ['without the hash of its body', (host) => ({ ...headersFor(host), 'x-offgrid-body': '' })],
      ['with another hash of its body', (host) => ({ ...headersFor(host), 'x-offgrid-body': '0'.repeat(64) })],
      [
        'of protocol 1',
        (host) => {
          const { 'x-offgrid-body': _hash, ...headers } = headersFor(host);
          return headers;
        },
      ],
    ];
    it.each(changed)('%s is UNAUTHENTICATED, and the answer nevertheless has the host’s HMAC', async (_what, how) => {
      const host = await start();
      const headers = typeof how === 'function' ? how(host) : headersFor(host, how);
      expect(await ask(host, HEAD, headers)).toMatchObject({ status: 401, code: 'UNAUTHENTICATED', isProven: true });
    });

    it('is valid only once', async () => {
      const host = await start();
      const headers = headersFor(host);
      expect(await ask(host, HEAD, headers)).toMatchObject({ status: 200, isProven: true });
      expect(await ask(host, HEAD, headers)).toMatchObject({ code: 'UNAUTHENTICATED' });
    });

    it('with a wrong time receives the host’s time, with a proof', async () => {
      const host = await start();
      // The later a request arrives, the less it is ahead.
      for (const away of [-301_000, 400_000]) {
        const signed = headersFor(host, { nowMs: Date.now() + away });
        const { code, headers } = await ask(host, HEAD, signed);
        expect(code).toBe('UNAUTHENTICATED');
        const date = headers.get('x-offgrid-date') ?? '';
        expect(Math.abs(Number(date) - Date.now() / 1_000)).toBeLessThan(60);
        const proof = clockSignature(
          hostKeyOf(AUTH_KEY, host.identity.id),
          host.identity.id,
          signed['x-offgrid-nonce']!,
          date,
        );
        expect(headers.get('x-offgrid-signature')).toBe(proof);
      }
      expect(await ask(host, HEAD, headersFor(host, { nowMs: Date.now() - 290_000 }))).toMatchObject({ code: 'OK' });
    });

    it('whose body was changed in transit has no effect', async () => {
      const host = await start();
      const body = Buffer.from('changed');
      const headers = headersFor(host, { method: 'POST', path: EVENTS, body: Buffer.from('signed') });
      expect(await ask(host, EVENTS, headers, body)).toMatchObject({
        ...{ status: 401, code: 'UNAUTHENTICATED', isProven: true },
      });
    });

    it('with any malformed body is BAD_REQUEST', async () => {
      const host = await start();
      const history = History.begin().on(1);
      await new Process(history.root).claim(host);
      for (const body of [
        NO_BODY,
        Buffer.from([0xff]),
        Buffer.from([0xa0]),
        randomBytes(1_000),
        Buffer.from('{"json":true}'),
      ])
        for (const path of ['claim', 'events', 'mend'])
          await expect(send(host, `/replica/${ORIGIN}/${path}`, { method: 'POST', body })).rejects.toMatchObject({
            ...{ code: 'BAD_REQUEST', isProven: true },
          });
    });

    it('that was changed in transit gets no answer with an HMAC about its content', async () => {
      const host = await start();
      const headers = headersFor(host, { method: 'POST', path: EVENTS, body: Buffer.from('signed') });
      const long = randomBytes(8 * 1024 * 1024 + 1);
      expect(await ask(host, EVENTS, headers, long)).toMatchObject({ code: 'TOO_LARGE', isProven: false });
      for (const path of [`/replica/%zz/events`, `/replica/${'a'.repeat(2_000)}/events`, `/replica/${ORIGIN}/none`]) {
        const answer = await ask(host, path, headersFor(host, { method: 'POST', path: EVENTS }), Buffer.from('a'));
        expect([answer.isProven, answer.status < 500], path).toEqual([answer.code === 'UNAUTHENTICATED', true]);
      }
      const [path, body] = [`/replica/${ORIGIN}/mend`, encodeMend({ events: [] })];
      for (const type of ['/', 'a b c']) {
        const signed = headersFor(host, { method: 'POST', path, body });
        const answer = await ask(host, path, { ...signed, 'content-type': type }, body);
        // Only its content type is wrong, and the type is not signed.
        expect(answer.isProven, type).toBe(answer.code !== 'BAD_REQUEST');
      }
    });

    it('without the key is refused before its body is read', async () => {
      const host = await start();
      const socket = await open(host);
      socket.write(`POST ${EVENTS} HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /);
      await once(socket, 'close');
    });

    it('with the key of one host is refused by another', async () => {
      const [one, two] = [await start(), await start()];
      const key = hostKeyOf(AUTH_KEY, one.identity.id);
      await send(one, HEAD, { key });
      await expect(send(two, HEAD, { key })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    });

    it('without the key is refused before its body is read, in any form of the path, also the prototype’s', async () => {
      const host = await start();
      for (const target of [
        `/%72eplica/${ORIGIN}/events`,
        `http://x${EVENTS}`,
        '/replica%2fx/events',
        '/memory/ingest',
      ]) {
        const socket = await open(host);
        socket.write(`POST ${target} HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n`);
        const [answer] = (await once(socket, 'data')) as [Buffer];
        expect(answer.toString(), target).toMatch(/^HTTP\/1\.1 4\d\d /);
        await once(socket, 'close');
      }
    });

    it('is answered even if its path is invalid', async () => {
      const host = await start();
      for (const path of ['/replica/%zz/head', `/replica/${'a'.repeat(200)}/head`, '/replica/x', '/replica/x/y/z'])
        expect((await ask(host, path, headersFor(host, { path }))).status, path).toBeLessThan(500);
      const head = await fetch(`${host.url}${HEAD}`, { method: 'HEAD', headers: headersFor(host, { method: 'HEAD' }) });
      expect(head.status).toBe(404);
    });

    it('whose headers do not arrive is closed', { timeout: 60_000 }, async () => {
      const host = await start();
      const [silent, slow] = [await open(host), await open(host)];
      slow.write(`GET ${HEAD} HTTP/1.1\r\nx-`);
      const drip = setInterval(() => slow.write('a'), 500);
      const begun = performance.now();
      await Promise.all([silent, slow].map((socket) => once(socket.resume(), 'close')));
      clearInterval(drip);
      expect(performance.now() - begun).toBeLessThan(50_000);
    });
  });

  describe('a body', () => {
    it('of more than 8 MiB is TOO_LARGE, and nothing of it is stored', async () => {
      const host = await start();
      const history = History.begin().on(9, { bytes: 1_000_000 });
      const process = new Process(history.root);
      await process.claim(host);
      const body = randomBytes(8 * 1024 * 1024 + 1);
      await expect(send(host, EVENTS, { method: 'POST', body })).rejects.toMatchObject({
        ...{ code: 'TOO_LARGE', status: 413, isProven: false },
      });
      expect(await process.ship(host, history, 1, 7)).toMatchObject({ tree: { sequence: 7 } });
    });
  });

  describe('connections', () => {
    it('are limited by address, and some are reserved for callers that know the key', async () => {
      const host = await start();
      const opened: Socket[] = [];
      const from = async (address: string, count: number) => {
        let refused = 0;
        for (let i = 0; i < count; i += 1) {
          const socket = await open(host, address);
          if (!(await isLetIn(socket))) refused += 1;
          opened.push(socket);
        }
        return refused;
      };
      expect(await from('127.0.0.2', MAX_CONNECTIONS_PER_ADDRESS + 2)).toBe(2);
      const unreserved = MAX_CONNECTIONS - RESERVED_CONNECTIONS;
      for (let i = 1; i < unreserved / MAX_CONNECTIONS_PER_ADDRESS; i += 1)
        expect(await from(`127.0.0.${i + 2}`, MAX_CONNECTIONS_PER_ADDRESS)).toBe(0);
      expect(await from('127.0.0.100', 1)).toBe(1);
      for (const socket of opened.splice(0, 1)) socket.destroy();
      // An address is known once a caller has used the key from it.
      const asked = async () => isLetIn(await open(host), HEAD, headersFor(host));
      await expect.poll(asked).toBe(true);
      expect(await from('127.0.0.1', 4)).toBe(0);
      expect(await from('127.0.0.101', 1)).toBe(1);
    });
  });
}

/** Whether a connection is answered, not closed; a caller without the key may ask for the host's identity. */
function isLetIn(socket: Socket, path = '/pubkeys', headers: Readonly<Record<string, string>> = {}): Promise<boolean> {
  const lines = Object.entries({ host: 'host', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  return new Promise((resolve) => {
    socket.once('data', () => {
      resolve(true);
    });
    socket.once('close', () => {
      resolve(false);
    });
  });
}

/** A connection without an HTTP client; it is closed when the test ends. */
export async function open(host: HostAt, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port: Number(new URL(host.url).port), host: '127.0.0.1', localAddress });
  onTestFinished(() => {
    socket.destroy();
  });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}
