import { describe, expect, it } from 'vitest';
import { clockSignature, MAX_SKEW_SECONDS } from '../../../../src/infra/offgrid/wire/auth.js';
import { AUTH_KEY, newHost } from '../../../support/offgrid/host.js';
import { headersFor, outcomeOf, send, type RawRequest } from '../../../support/offgrid/raw.js';
import { clientOf, ORIGIN, Writer } from '../../../support/offgrid/writer.js';

const HEAD = `/replica/${ORIGIN}/head?challenge=c`;
const NOW_MS = 1_800_000_000_000;

/** A host whose clock stands still, and which has an origin. */
async function setUp() {
  const host = await newHost({ clock: { now: () => new Date(NOW_MS) } });
  await new Writer().claim(clientOf(host));
  const ask = (request: RawRequest = {}) => send(host, HEAD, { nowMs: NOW_MS, ...request });
  return { host, ask };
}

const refused = { status: 401, json: { error: { code: 'UNAUTHENTICATED' } } };

describe('a host answers only those who', () => {
  it('sign with the key', async () => {
    const { host, ask } = await setUp();
    expect((await ask()).status).toBe(200);
    expect(await outcomeOf(await fetch(`${host.url}${HEAD}`))).toMatchObject(refused);
    expect(await ask({ authKey: 'another key' })).toMatchObject(refused);
    expect(await ask({ authKey: '' })).toMatchObject(refused);
  });

  it.each(['x-offgrid-date', 'x-offgrid-nonce', 'x-offgrid-signature'])('send %s, well formed', async (name) => {
    const { host, ask } = await setUp();
    const { [name]: _, ...others } = headersFor(host, HEAD, { nowMs: NOW_MS });
    expect(await outcomeOf(await fetch(`${host.url}${HEAD}`, { headers: others }))).toMatchObject(refused);
    for (const value of ['', '0', 'é'.repeat(64), 'a'.repeat(64), '-1', '1e3', 'x'.repeat(2_000)])
      expect(await ask({ headers: { [name]: value } }), value).toMatchObject(refused);
  });

  it('mean this host, and what they ask', async () => {
    const { host, ask } = await setUp();
    const other = await newHost();
    expect(await ask({ signed: { host: other.identity.id } })).toMatchObject(refused);
    expect(await ask({ signed: { method: 'POST' } })).toMatchObject(refused);
    expect(await ask({ signed: { path: `/replica/${ORIGIN}/head?challenge=d` } })).toMatchObject(refused);
    expect(await ask({ signed: { path: `/replica/${ORIGIN}/head` } })).toMatchObject(refused);
    expect(await ask({ signed: { body: Buffer.from('x') } })).toMatchObject(refused);
    const claim = `/replica/${ORIGIN}/claim`;
    const body = Buffer.from('one body');
    const changed = await send(host, claim, {
      method: 'POST',
      nowMs: NOW_MS,
      body,
      signed: { body: Buffer.from('ones') },
    });
    expect(changed).toMatchObject(refused);
    expect(await send(host, claim, { method: 'POST', nowMs: NOW_MS, body })).toMatchObject({ status: 400 });
  });

  it('come once', async () => {
    const { host } = await setUp();
    const headers = headersFor(host, HEAD, { nowMs: NOW_MS });
    expect((await fetch(`${host.url}${HEAD}`, { headers })).status).toBe(200);
    const replayed = await outcomeOf(await fetch(`${host.url}${HEAD}`, { headers }));
    expect(replayed).toMatchObject({ ...refused, json: { error: { message: 'This request has been here before.' } } });
    expect(replayed.headers.get('x-offgrid-date')).toBeNull();
  });
});

describe('a host whose clock is far from that of the other side', () => {
  it.each([-1, 1])('refuses beyond the skew, not up to it (%d)', async (side) => {
    const { ask } = await setUp();
    expect((await ask({ nowMs: NOW_MS + side * MAX_SKEW_SECONDS * 1_000 })).status).toBe(200);
    expect(await ask({ nowMs: NOW_MS + side * (MAX_SKEW_SECONDS + 1) * 1_000 })).toMatchObject(refused);
  });

  it('says what time it is to those who know the key, and proves it', async () => {
    const { host } = await setUp();
    const headers = headersFor(host, HEAD, { nowMs: 0 });
    const answer = await fetch(`${host.url}${HEAD}`, { headers });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('x-offgrid-date')).toBe('1800000000');
    const proof = clockSignature(AUTH_KEY, host.identity.id, headers['x-offgrid-nonce']!, '1800000000');
    expect(answer.headers.get('x-offgrid-signature')).toBe(proof);
  });

  it('says nothing of the kind to others', async () => {
    const { ask } = await setUp();
    const { headers } = await ask({ nowMs: 0, authKey: 'another key' });
    expect(headers.get('x-offgrid-date')).toBeNull();
    expect(headers.get('x-offgrid-signature')).toBeNull();
  });
});

it('every door of cores wants the key', async () => {
  const { host } = await setUp();
  for (const [method, path] of [
    ['POST', `/replica/${ORIGIN}/claim`],
    ['POST', `/replica/${ORIGIN}/events`],
    ['GET', `/replica/${ORIGIN}/events`],
    ['GET', HEAD],
    ['GET', `/replica/${ORIGIN}/head?at=0`],
    ['POST', '/memory/ingest'],
  ] as const)
    expect(await outcomeOf(await fetch(`${host.url}${path}`, { method })), path).toMatchObject(refused);
});
