import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { MAX_BODY_BYTES, MAX_META_BYTES } from '../../../../src/infra/offgrid/broker/bodies.js';
import { rawJson } from '../../../../src/infra/offgrid/broker/python-json.js';
import { readQuorumPolicy } from '../../../../src/infra/offgrid/broker/policy.js';
import { startBroker } from '../../../../src/infra/offgrid/broker/server.js';
import { signBody } from '../../../../src/infra/offgrid/broker/signature.js';
import {
  AUTH_KEY,
  get,
  ManualClock,
  newBroker,
  newFolder,
  post,
  postSigned,
  type Answer,
} from '../../../support/broker/broker.js';
import { quiet } from '../../../support/quiet.js';
import { askAsOldClient } from '../../../support/broker/python.js';

const QUORUM = { id: 'core-1:1-500', kind: 'replica', required: 2, meta: { bytes: 7 } };
const HOST = { node_id: 'host-a', url: 'http://127.0.0.1:8081', prices: { chunk: 3 }, free_bytes: 2 ** 50 };

interface Started {
  readonly policy?: string;
  readonly dataDir?: string;
  readonly clock?: ManualClock;
}

/** A broker, and a client whose clock is the broker's. */
async function started({ policy, dataDir, clock = new ManualClock() }: Started = {}) {
  const options = { ...(policy && { policy: readQuorumPolicy(policy) }), ...(dataDir && { dataDir }) };
  const broker = await newBroker(clock, options);
  const { url } = broker;
  return {
    url,
    clock,
    close: () => broker.close(),
    create: (quorum: object = QUORUM) => postSigned(url, '/quorum/create', { ...quorum }, clock),
    ack: (node: string, id = QUORUM.id) =>
      postSigned(url, '/quorum/ack', { id, kind: QUORUM.kind, node_id: node }, clock),
    announce: (host: object = HOST) => postSigned(url, '/announce', { ...host }, clock),
    status: (id = QUORUM.id) => get(url, `/quorum/status/${QUORUM.kind}/${encodeURIComponent(id)}`),
  };
}

function refusal(status: number, code: string, message: unknown = expect.any(String)): Answer {
  return { status, body: { error: { code, message } } };
}

describe('a broker', () => {
  it('states its service and version', async () => {
    const { url } = await started();
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect(await get(url, '/status')).toEqual({
      status: 200,
      body: { status: 'ok', service: 'offgrid-broker', version },
    });
  });

  it('creates a record, and returns it when it is created again', async () => {
    const { create, clock, status } = await started();
    const record = { ...QUORUM, acks: [], finalized: false, ts: clock.seconds };
    expect(await create()).toEqual({ status: 200, body: record });
    clock.seconds += 5;
    expect(await create({ ...QUORUM, required: 9, meta: null })).toEqual({ status: 200, body: record });
    expect(await status()).toEqual({ status: 200, body: record });
  });

  it('counts each node once, until the sum of weights is reached', async () => {
    const { create, ack, clock, status } = await started();
    await create();
    expect(await ack('host-a')).toEqual({ status: 200, body: { ok: true, finalized: false, sum_w: 1, required: 2 } });
    expect(await ack('host-a')).toEqual({ status: 200, body: { ok: true, finalized: false, sum_w: 1, required: 2 } });
    expect(await ack('host-b')).toEqual({ status: 200, body: { ok: true, finalized: true, sum_w: 2, required: 2 } });
    const acks = ['host-a', 'host-b'].map((id) => ({ id, ts: clock.seconds, w: 1 }));
    expect((await status()).body).toMatchObject({ acks, finalized: true });
  });

  it('weights nodes and decays acks by its policy, and keeps final records final', async () => {
    const policy = '{"weights": {"host-a": 0.5}, "kinds": {"replica": {"decay_half_life_s": 60, "max_age_s": 600}}}';
    const { create, ack, clock } = await started({ policy });
    await create({ ...QUORUM, required: rawJson('1.5') });
    expect((await ack('host-a')).body).toMatchObject({ sum_w: 0.5 });
    clock.seconds += 60;
    expect((await ack('host-b')).body).toMatchObject({ sum_w: 1.25, finalized: false });
    expect((await ack('host-a')).body).toMatchObject({ sum_w: 1.5, finalized: true });
    clock.seconds += 601;
    expect((await ack('host-c')).body).toMatchObject({ sum_w: 1, finalized: true });
  });

  it('returns the policy of a kind', async () => {
    const { url } = await started({ policy: '{"max_age_s": 5, "kinds": {"replica": {"weight_default": 0.5}}}' });
    const general = { weight_default: 1, weights: {}, decay_half_life_s: 0, max_age_s: 5 };
    expect(await get(url, '/quorum/policy')).toEqual({ status: 200, body: general });
    expect((await get(url, '/quorum/policy?kind=upload')).body).toEqual(general);
    expect((await get(url, '/quorum/policy?kind=replica')).body).toEqual({ ...general, weight_default: 0.5 });
    expect(await get(url, '/quorum/policy?kind=a&kind=b')).toEqual(refusal(400, 'INVALID_INPUT'));
  });

  it('lists records, of one kind or of all, the newest first', async () => {
    const { url, create } = await started();
    await create();
    await create({ ...QUORUM, kind: 'upload' });
    const kinds = async (query: string) =>
      ((await get(url, `/quorum/list${query}`)).body as unknown as { kind: string }[]).map(({ kind }) => kind);
    expect(await kinds('')).toEqual(['upload', 'replica']);
    expect(await kinds('?kind=replica')).toEqual(['replica']);
    expect(await kinds('?kind=none')).toEqual([]);
  });

  it('returns meta as received, including numbers', async () => {
    const { url, create } = await started();
    const meta = { __proto: 1, big: 2 ** 53 - 1, text: 'é😀\u0000', list: [null, true] };
    expect((await create({ ...QUORUM, meta })).body['meta']).toEqual(meta);
    expect(await create({ id: 'b', kind: 'replica' })).toMatchObject({
      status: 200,
      body: { required: 1, meta: null },
    });
    await create({ ...QUORUM, id: 'c', meta: { n: rawJson('12345678901234567890'), x: rawJson('1.50') } });
    const text = await (await fetch(`${url}/quorum/status/replica/c`)).text();
    expect(text).toContain('"meta": {"n": 12345678901234567890, "x": 1.50}');
  });

  it('accepts any printable name for a record', async () => {
    const { create, status } = await started();
    for (const id of ['a/b c?d#e', '__proto__', '😀'.repeat(256), '..', '%41']) {
      expect(await create({ ...QUORUM, id })).toMatchObject({ status: 200, body: { id } });
      if (id !== '..') expect(await status(id)).toMatchObject({ status: 200, body: { id } });
    }
  });
});

describe('a broker’s hosts', () => {
  it('are those that announce themselves, active until three heartbeats are missed', async () => {
    const { url, clock, announce } = await started();
    expect(await announce()).toEqual({ status: 200, body: { ok: true, heartbeat_s: 10 } });
    const shown = { ...HOST, state: 'active', score: 0.5, last_seen: clock.seconds };
    expect(await get(url, '/hosts')).toEqual({ status: 200, body: [shown] });
    clock.seconds += 30;
    expect((await get(url, '/hosts')).body).toMatchObject([{ state: 'active' }]);
    clock.seconds += 1;
    expect((await get(url, '/hosts')).body).toMatchObject([{ state: 'lost', last_seen: shown.last_seen }]);
    await announce({ ...HOST, free_bytes: 0, prices: {} });
    expect((await get(url, '/hosts')).body).toMatchObject([{ state: 'active', free_bytes: 0, prices: {} }]);
  });

  it('are remembered with their scores when it starts again, as are its records', async () => {
    const dataDir = await newFolder();
    const before = await started({ dataDir });
    await before.create();
    await before.ack('host-a');
    for (let beats = 0; beats < 30; beats += 1) {
      await before.announce();
      before.clock.seconds += 10;
    }
    before.clock.seconds -= 10;
    const [[host], record] = [(await get(before.url, '/hosts')).body as unknown as object[], await before.status()];
    expect(host).toMatchObject({ score: expect.closeTo(0.744, 2) });
    await before.close();
    const clock = new ManualClock(before.clock.seconds + 86_400);
    const after = await started({ dataDir, clock });
    expect(await after.status()).toEqual(record);
    expect(await after.ack('host-b')).toMatchObject({ body: { finalized: true } });
    expect((await get(after.url, '/hosts')).body).toEqual([{ ...host, state: 'lost' }]);
    await after.announce();
    expect((await get(after.url, '/hosts')).body).toEqual([{ ...host, last_seen: clock.seconds }]);
  });
});

describe('a broker refuses', () => {
  it('a body that is not signed under its key', async () => {
    const { url, clock } = await started();
    for (const path of ['/quorum/create', '/quorum/ack', '/announce']) {
      expect(await post(url, path, '{"id": "a"}')).toEqual(refusal(401, 'BAD_SIGNATURE'));
      expect(await postSigned(url, path, QUORUM, clock, 'another key')).toEqual(refusal(401, 'BAD_SIGNATURE'));
    }
    expect((await get(url, '/quorum/list')).body).toEqual([]);
  });

  it('a body that was sent before, and accepts it with a new signature', async () => {
    const { url, clock, create, ack } = await started();
    await create();
    const body = signBody({ id: QUORUM.id, kind: QUORUM.kind, node_id: 'host-a' }, AUTH_KEY, clock.now());
    expect((await post(url, '/quorum/ack', body)).status).toBe(200);
    expect(await post(url, '/quorum/ack', body)).toEqual(refusal(401, 'REPLAYED'));
    expect((await ack('host-a')).status).toBe(200);
  });

  it('a body with a stale timestamp, and states its own time', async () => {
    const { url, clock } = await started();
    const stale = await postSigned(url, '/quorum/create', QUORUM, new ManualClock(clock.seconds - 301));
    expect(stale).toMatchObject(
      refusal(401, 'STALE_TIMESTAMP', expect.stringContaining(`the broker's time is ${clock.seconds}`)),
    );
    expect(stale.body).toMatchObject({ time: clock.seconds, signature: expect.any(String) });
    const early = await postSigned(url, '/quorum/create', QUORUM, new ManualClock(clock.seconds + 301));
    expect(early).toMatchObject(refusal(401, 'STALE_TIMESTAMP'));
  });

  it('a body that is not a JSON object', async () => {
    const { url } = await started();
    for (const [body, why] of [
      ['{"id": ', 'the text ends too early at character 7'],
      ['', 'the text ends too early at character 0'],
      ['{"n": NaN}', '"N" is unexpected at character 6'],
      ['[]', 'The body must be a JSON object.'],
      ['7', 'The body must be a JSON object.'],
    ] as const)
      expect(await post(url, '/quorum/create', body)).toEqual(refusal(400, 'BAD_JSON', expect.stringContaining(why)));
  });

  it('a body that is nested too deeply', async () => {
    const { url } = await started();
    const answer = await post(url, '/quorum/create', '['.repeat(100_000));
    expect(answer).toEqual(refusal(400, 'BAD_JSON', expect.stringContaining('nested deeper than 64 levels')));
  });

  it('a body that is not UTF-8', async () => {
    const { url } = await started();
    const answer = await post(url, '/quorum/create', new Uint8Array([0x22, 0xff, 0x22]));
    expect(answer).toEqual(refusal(400, 'BAD_JSON', expect.stringContaining('it is not UTF-8')));
  });

  it('a record that it could not store or show', async () => {
    const { create } = await started();
    for (const [message, fields] of [
      ['id must be text', { id: 7 }],
      ['id must not be empty', { id: '' }],
      ['id must have at most 512 characters', { id: 'x'.repeat(513) }],
      ['id must not contain control characters', { id: 'a\nb' }],
      ['id must not contain control characters or half surrogate pairs', { id: '\ud800' }],
      ['kind must have at most 64 characters', { kind: 'x'.repeat(65) }],
      ['required must be above 0', { required: 0 }],
      ['required must be above 0', { required: -1 }],
      ['required must be a number', { required: '2' }],
      ['id must be text; kind must be text', { id: null, kind: null }],
    ] as const)
      expect(await create({ ...QUORUM, ...fields })).toEqual(
        refusal(400, 'INVALID_INPUT', expect.stringContaining(message)),
      );
  });

  it('a host that it could not store or show', async () => {
    const { announce } = await started();
    for (const [message, fields] of [
      ['url must be an http or https URL', { url: 'ftp://host' }],
      ['prices must be an object', { prices: [] }],
      ['prices must be an object', { prices: 7 }],
      ['free_bytes must be a whole number', { free_bytes: -1 }],
      ['node_id must have at most 512 characters', { node_id: ' '.repeat(513) }],
    ] as const)
      expect(await announce({ ...HOST, ...fields })).toEqual(
        refusal(400, 'INVALID_INPUT', expect.stringContaining(message)),
      );
  });

  it('a body that is too large', async () => {
    const { url, create, announce } = await started();
    const body = await post(url, '/quorum/create', ' '.repeat(MAX_BODY_BYTES + 1));
    expect(body).toEqual(refusal(413, 'TOO_LARGE', expect.stringContaining('262144 bytes')));
    const meta = 'x'.repeat(MAX_META_BYTES - 2);
    expect((await create({ ...QUORUM, meta })).status).toBe(200);
    expect(await create({ ...QUORUM, meta: `${meta}x` })).toEqual(refusal(413, 'TOO_LARGE'));
    expect(await announce({ ...HOST, prices: { chunk: 'x'.repeat(5_000) } })).toEqual(refusal(413, 'TOO_LARGE'));
  });

  it('a request for an unknown path or record', async () => {
    const { url, ack, status } = await started();
    expect(await ack('host-a', 'nothing')).toEqual(refusal(404, 'NOT_FOUND', expect.stringContaining("'nothing'")));
    expect(await status('nothing')).toEqual(refusal(404, 'NOT_FOUND'));
    expect(await get(url, '/auction')).toEqual(
      refusal(404, 'NOT_FOUND', 'Nothing is served at GET /auction. Check the method and the path.'),
    );
    expect(await get(url, '/quorum/status/replica/%ff')).toEqual(refusal(400, 'BAD_REQUEST'));
  });
});

describe('an old client', () => {
  it('reaches its quorum without nonces, and may send the same body twice', async () => {
    const clock = { now: () => new Date() };
    const { url } = await newBroker(clock);
    const create = [
      '/quorum/create',
      { id: 'käy', kind: 'upload', required: 1.5, meta: { '😀': 0.25, ä: 1e22 } },
    ] as const;
    const ackOf = (node: string) => ['/quorum/ack', { id: 'käy', kind: 'upload', node_id: node }] as const;
    const answers = await askAsOldClient(url, AUTH_KEY, [
      ['/status', null],
      create,
      create,
      ackOf('http://127.0.0.1:8081'),
      ackOf('http://127.0.0.1:8081'),
      ackOf('http://127.0.0.1:8082'),
      ['/quorum/status/upload/k%C3%A4y', null],
      ['/quorum/list?kind=upload', null],
      ['/quorum/status/upload/other', null],
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 404]);
    const [, made, again, first, second, third, record, list] = answers.map(({ body }) => body);
    expect(made).toMatchObject({ required: 1.5, meta: { '😀': 0.25, ä: 1e22 }, finalized: false });
    expect(again).toEqual(made);
    expect([first, second]).toMatchObject([
      { sum_w: 1, finalized: false },
      { sum_w: 1, finalized: false },
    ]);
    expect(third).toEqual({ ok: true, finalized: true, sum_w: 2, required: 1.5 });
    expect(list).toEqual([record]);
  });
});

describe('a broker in operation', () => {
  it('counts requests, records and hosts', async () => {
    const { url, clock, create, ack, announce } = await started();
    await create();
    await create({ ...QUORUM, id: 'b', required: 1 });
    await ack('host-a', 'b');
    await announce();
    clock.seconds += 31;
    await announce({ ...HOST, node_id: 'host-b' });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    for (const line of [
      'sheratan_broker_requests_total{route="/quorum/create",method="POST",status="200"} 2',
      'sheratan_broker_quorum_records{finalized="true"} 1',
      'sheratan_broker_quorum_records{finalized="false"} 1',
      'sheratan_broker_hosts{state="active"} 1',
      'sheratan_broker_hosts{state="lost"} 1',
      'process_cpu_seconds_total',
    ])
      expect(metrics).toContain(line);
  });

  it('reports that its port is taken, and releases its folder', async () => {
    const { url } = await started();
    const dataDir = await newFolder();
    const fixed = { name: 'broker', bind: '127.0.0.1', authKey: AUTH_KEY, clock: new ManualClock(), logger: quiet };
    const second = startBroker({ ...fixed, dataDir, port: Number(new URL(url).port) });
    await expect(second).rejects.toThrow(/EADDRINUSE/);
    await started({ dataDir });
  });

  it('finishes requests in progress when it stops, and does not wait for slow clients', async () => {
    const { url, create, close } = await started();
    const dawdler = connect(Number(new URL(url).port), '127.0.0.1');
    dawdler.on('error', () => undefined);
    const creating = Array.from({ length: 20 }, (_, index) => create({ ...QUORUM, id: `q${index}` }));
    const [first] = await Promise.all([Promise.race(creating), Promise.race(creating).then(close)]);
    expect(first.status).toBe(200);
    const answers = await Promise.allSettled(creating);
    const answered = answers.filter((answer) => answer.status === 'fulfilled');
    expect(answered.every(({ value }) => value.status === 200 || value.status === 503)).toBe(true);
    await expect(get(url, '/status')).rejects.toThrow();
    await close();
  });
});
