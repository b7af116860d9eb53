import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { sha256 } from '../../../../src/infra/crypto/sha256.js';
import { bodyHashOf, hostKeyOf, requestHeaders } from '../../../../src/infra/offgrid/protocol/authentication.js';
import { addressOf } from '../../../../src/infra/crypto/envelope.js';
import { decodeRefusal } from '../../../../src/infra/offgrid/protocol/refusal.js';
import type { Untyped } from '../../../support/node.js';
import { History, ORIGIN, Process, type HostAt } from '../../../support/offgrid/by-hand.js';
import { AUTH_KEY, newFolder, newHost } from '../../../support/offgrid/host.js';

/** The request that is sent, and what is signed if that differs. */
interface Asked {
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
  readonly signed?: Partial<Parameters<typeof requestHeaders>[1]>;
  readonly authKey?: string;
}

async function outcomeOf(answer: Response) {
  const text = await answer.text();
  const json: Untyped = answer.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined;
  return { status: answer.status, text, json };
}

async function open(host: HostAt, path: string) {
  return outcomeOf(await fetch(`${host.url}${path}`));
}

/** Sends a request that is signed with the key of the host. */
async function send(host: HostAt, path: string, { method = 'GET', body = '', signed, authKey = AUTH_KEY }: Asked = {}) {
  const { id } = host.identity;
  const date = String(Math.floor(Date.now() / 1_000));
  const nonce = randomBytes(16).toString('hex');
  const lines = { host: id, method, path, date, nonce, bodyHash: bodyHashOf(Buffer.from(body)), ...signed };
  const headers = requestHeaders(hostKeyOf(authKey, id), lines);
  return outcomeOf(await fetch(`${host.url}${path}`, { method, headers, ...(method === 'GET' ? {} : { body }) }));
}

function ingest(host: HostAt, body: unknown, asked: Asked = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return send(host, '/memory/ingest', { method: 'POST', body: text, ...asked });
}

const payload = Buffer.from('a payload');
const event = { payload_b64: payload.toString('base64'), etype: 7, meta: { note: 'ä', list: [1, null] }, score: 0.5 };
const eid = toHex(sha256(payload));

describe('a host reports, as the prototype did,', () => {
  it('its status, identity, prices and keys', async () => {
    const host = await newHost();
    const who = { node_id: host.identity.id, name: 'host-a' };
    const base64Key = expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/);
    expect((await open(host, '/status')).json).toEqual({ ok: true, ...who, ts: expect.any(Number) });
    expect((await open(host, '/announce')).json).toEqual({
      ...who,
      active: true,
      prices: { storage_mb: 0, retrieval_mb: 0 },
      ts: expect.any(Number),
    });
    expect((await open(host, '/pubkeys')).json).toEqual({
      ...who,
      ed25519_verify_key: host.identity.verifyKey,
      x25519_public_key: base64Key,
      protocol: 2,
    });
    const quote = { type: 'retrieval_mb', size: 12, quote: 0, host: host.identity.id };
    expect((await open(host, '/quote?type=retrieval_mb&size=12')).json).toEqual(quote);
    for (const query of ['type=gold', 'size=-1', 'size=many'])
      expect(await open(host, `/quote?${query}`), query).toMatchObject({
        status: 400,
        json: { error: { code: 'BAD_REQUEST' } },
      });
  });

  it('its metrics, to Prometheus', async () => {
    const host = await newHost();
    await new Process(History.begin().root).claim(host);
    expect((await open(host, '/metrics')).text).toContain(`offgrid_host_sequence{origin="${ORIGIN}"} 0`);
  });

  it('NOT_FOUND for an unknown path', async () => {
    const host = await newHost();
    for (const path of ['/', '/memory', '/memory/events', `/memory/events/${eid}`, '/memory/events/x'])
      expect(await open(host, path), path).toMatchObject({ status: 404, json: { error: { code: 'NOT_FOUND' } } });
    // The paths of the protocol are answered in its own form.
    const answer = await fetch(`${host.url}/replica/x`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/cbor']);
    expect(decodeRefusal(new Uint8Array(await answer.arrayBuffer()))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await open(host, '/memory/events/%zz')).toMatchObject({
      status: 400,
      json: { error: { code: 'BAD_REQUEST' } },
    });
  });
});

describe('a host that receives single events by the prototype’s paths', () => {
  it('keeps each content once', async () => {
    const folder = await newFolder();
    const host = await newHost({ folder });
    expect(await ingest(host, event)).toMatchObject({ status: 200, json: { eid } });
    const free = host.freeBytes;
    const [first] = (await open(host, '/memory/query')).json.events;
    expect(first).toEqual({ eid, ts: expect.any(Number), etype: 7, meta: event.meta, pref: null, score: 0.5 });
    expect((await ingest(host, { ...event, etype: 8 })).json).toEqual({ eid });
    expect((await open(host, '/memory/query')).json).toEqual({ count: 1, events: [first] });
    expect((await open(host, `/memory/events/${eid}`)).json).toEqual(first);
    expect(host.freeBytes).toBe(free);
    await host.close();
    const again = await newHost({ folder });
    expect((await open(again, `/memory/events/${eid}`)).json).toEqual(first);
    expect(again.freeBytes).toBe(free);
  });

  it('has defaults for omitted fields', async () => {
    const host = await newHost();
    await ingest(host, { payload_b64: 'AA==', etype: 0 });
    expect((await open(host, '/memory/query')).json.events[0]).toMatchObject({ etype: 0, meta: {}, score: 0 });
  });

  it('refuses malformed ones', async () => {
    const host = await newHost();
    const junk: unknown[] = [
      '',
      'not JSON',
      'null',
      '[]',
      {},
      { ...event, payload_b64: '' },
      { ...event, payload_b64: '***' },
      { ...event, payload_b64: undefined },
      { ...event, etype: -1 },
      { ...event, etype: 1.5 },
      { ...event, etype: '7' },
      { ...event, meta: [] },
      { ...event, score: null },
      `{"payload_b64":"AA==","etype":1,"score":1e999}`,
      `{"payload_b64":"AA==","etype":1,"meta":{"deep":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`,
    ];
    for (const body of junk) {
      const { status, json } = await ingest(host, body);
      const outcome = { status, code: json?.error?.code };
      expect(outcome, JSON.stringify(body).slice(0, 60)).toEqual({ status: 400, code: 'BAD_REQUEST' });
    }
    expect((await open(host, '/memory/query')).json).toEqual({ count: 0, events: [] });
  });

  it('refuses those that are not signed with its key, or signed for another request', async () => {
    const host = await newHost();
    const text = JSON.stringify(event);
    const refused = { status: 401, json: { error: { code: 'UNAUTHENTICATED' } } };
    const unsigned = await fetch(`${host.url}/memory/ingest`, { method: 'POST', body: text });
    expect(await outcomeOf(unsigned)).toMatchObject(refused);
    const asked: readonly Asked[] = [
      { authKey: 'another key' },
      { signed: { host: '0'.repeat(32) } },
      { signed: { method: 'GET' } },
      { signed: { path: '/memory/query' } },
      { signed: { bodyHash: bodyHashOf(Buffer.from('another body')) } },
      { signed: { date: String(Math.floor(Date.now() / 1_000) - 301) } },
    ];
    for (const one of asked) expect(await ingest(host, text, one), JSON.stringify(one)).toMatchObject(refused);
    const nonce = 'ab'.repeat(16);
    expect(await ingest(host, { payload_b64: 'AA==', etype: 0 }, { signed: { nonce } })).toMatchObject({ status: 200 });
    expect(await ingest(host, text, { signed: { nonce } })).toMatchObject(refused);
    expect((await open(host, '/memory/query')).json).toMatchObject({ count: 1 });
  });

  it('refuses those that are too large', async () => {
    const host = await newHost({ budgetBytes: 1024 * 1024 + 10 });
    const large = (bytes: number) => ({ ...event, payload_b64: Buffer.alloc(bytes).toString('base64') });
    expect(await ingest(host, large(1024 * 1024 + 1))).toMatchObject({
      status: 413,
      json: { error: { code: 'TOO_LARGE' } },
    });
    expect(await ingest(host, { ...event, meta: { text: 'x'.repeat(20_000) } })).toMatchObject({ status: 413 });
    expect(await ingest(host, large(1024 * 1024))).toMatchObject({ status: 200 });
    expect(await ingest(host, large(11))).toMatchObject({ status: 507, json: { error: { code: 'FULL' } } });
    expect(await ingest(host, large(1024 * 1024))).toMatchObject({ status: 200 });
    expect(await ingest(host, large(10))).toMatchObject({ status: 200 });
    expect(host.freeBytes).toBe(0);
  });
});

describe('a query of the events of a host', () => {
  async function setUp() {
    const host = await newHost();
    const history = History.begin().on(3).on(1, { bytes: 2_000 });
    const process = new Process(history.root);
    await process.claim(host);
    await process.ship(host, history);
    const events = history.numbered(1, 4).map((one) => ({ ...one, eid: addressOf(one.sealed) }));
    return { host, events };
  }

  it('answers with the newest first', async () => {
    const { host, events } = await setUp();
    await ingest(host, event);
    const { count, events: all } = (await open(host, '/memory/query')).json;
    const expected = events.toReversed().map(({ eid: address, ts, etype, sequence }) => ({
      eid: toHex(address),
      ts,
      etype,
      meta: { origin: ORIGIN, sequence },
      pref: sequence === 4 ? `blob:${toHex(address)}` : null,
      score: 0,
    }));
    expect(count).toBe(5);
    expect(all.slice(1)).toEqual(expected);
    expect(all[0]).toMatchObject({ eid });
    expect((await open(host, `/memory/events/${expected[0]!.eid}`)).json).toEqual(expected[0]);
    const since = (await open(host, `/memory/query?since_ts=${events[2]!.ts}&limit=2`)).json;
    expect(since).toEqual({ count: 2, events: [expect.objectContaining({ eid }), expected[0]] });
    expect((await open(host, '/memory/query?since_ts=8e15')).json).toEqual({ count: 0, events: [] });
  });

  it('is refused when it is malformed', async () => {
    const { host } = await setUp();
    for (const query of [
      'limit=0',
      'limit=1001',
      'limit=1.5',
      'limit=x',
      'since_ts=x',
      'since_ts=1&since_ts=2',
      'since_ts=1e99',
    ])
      expect(await open(host, `/memory/query?${query}`), query).toMatchObject({
        status: 400,
        json: { error: { code: 'BAD_REQUEST' } },
      });
    expect((await open(host, '/memory/query?limit=1000')).json.count).toBe(4);
  });
});

describe('a host that can be reached from elsewhere', () => {
  it('requires the key for the paths that are open on loopback', async () => {
    const host = await newHost({ bind: '0.0.0.0' });
    const url = new URL(host.url);
    const here = { ...host, identity: host.identity, url: `http://127.0.0.1:${url.port}` };
    await ingest(here, event);
    for (const path of ['/status', '/memory/query', `/memory/events/${eid}`, '/metrics']) {
      expect((await open(here, path)).status, path).toBe(401);
      expect((await send(here, path)).status, path).toBe(200);
    }
    for (const path of ['/announce', '/pubkeys', '/quote']) expect((await open(here, path)).status, path).toBe(200);
    for (const { address, family } of Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []))
      if (family === 'IPv4')
        expect((await fetch(`http://${address}:${url.port}/memory/query`)).status, address).toBe(401);
  });
});
