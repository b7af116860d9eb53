import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { LogError } from '../../../src/infra/eventlog/errors.js';
import { TestNode } from '../../support/node.js';
import { newCore, settledCore, statusOf } from '../../support/offgrid/core.js';
import { newHost } from '../../support/offgrid/host.js';
import { LyingHost } from '../../support/offgrid/lying-host.js';

let node: TestNode;
beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

/** The samples, by name and labels as they are written. */
async function samples(of = node): Promise<ReadonlyMap<string, number>> {
  const { text } = await of.fetch('/metrics');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

const requestsTo = (route: string, method: string, status: number) =>
  `sheratan_http_requests_total{route="${route}",method="${method}",status="${status}"}`;

describe('/metrics', () => {
  it('is the text format of Prometheus', async () => {
    const { status, headers } = await node.fetch('/metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  });

  it('lists every metric, each with a help text', async () => {
    await node.fetch('/metrics');
    const { text } = await node.fetch('/metrics');
    const types = [...text.matchAll(/^# TYPE (sheratan_\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]);
    expect(Object.fromEntries(types)).toEqual({
      sheratan_http_requests_total: 'counter',
      sheratan_http_request_duration_seconds: 'histogram',
      sheratan_projection_position: 'gauge',
      sheratan_projection_behind: 'gauge',
      sheratan_projection_state: 'gauge',
      sheratan_log_head: 'gauge',
      sheratan_log_reached: 'gauge',
      sheratan_outbox_head: 'gauge',
      sheratan_outbox_quorum: 'gauge',
      sheratan_outbox_pending: 'gauge',
      sheratan_outbox_lag_seconds: 'gauge',
      sheratan_host_sequence: 'gauge',
      sheratan_host_behind: 'gauge',
      sheratan_host_reached: 'gauge',
      sheratan_damaged_events: 'gauge',
      sheratan_failed_audits: 'gauge',
      sheratan_tree_age_seconds: 'gauge',
      sheratan_staged_events: 'gauge',
      sheratan_proof_total: 'gauge',
      sheratan_epochs_total: 'counter',
      sheratan_left_out_total: 'counter',
      sheratan_websockets: 'gauge',
    });
    for (const [name] of types) expect(text).toMatch(new RegExp(`^# HELP ${name ?? ''} \\S.*\\.$`, 'm'));
    for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) {
      expect(text).toContain(`# TYPE ${name} `);
    }
  });

  it('counts requests by route, method and status', async () => {
    const counted = [
      requestsTo('/graphql', 'POST', 200),
      requestsTo('/api/missions/:id', 'GET', 404),
      requestsTo('/livez', 'GET', 200),
      requestsTo('none', 'GET', 404),
    ];
    const before = await samples();
    await node.gql('{ __typename }');
    for (const id of ['a', 'b', 'c']) await node.fetch(`/api/missions/${id}`);
    await node.fetch('/livez');
    await node.fetch('/nothing/here');
    await expect
      .poll(async () => {
        const after = await samples();
        return counted.map((name) => (after.get(name) ?? 0) - (before.get(name) ?? 0));
      })
      .toEqual([1, 3, 1, 1]);
  });

  it('does not get more series when many different paths are requested', async () => {
    const count = async () => [...(await samples()).keys()].filter((name) => name.startsWith('sheratan_')).length;
    await node.fetch('/nothing/here');
    await node.fetch('/api/missions/a');
    const before = await count();
    for (let i = 0; i < 50; i += 1) {
      await node.fetch(`/nothing/${i}`);
      await node.fetch(`/api/missions/${i}?x=${i}`);
    }
    expect(await count()).toBe(before);
  });

  it('times requests by route', async () => {
    const name = 'sheratan_http_request_duration_seconds_count{route="/livez"}';
    const before = (await samples()).get(name) ?? 0;
    await node.fetch('/livez');
    await expect.poll(async () => (await samples()).get(name)).toBe(before + 1);
  });

  it('shows the positions of the log and its projections', async () => {
    await node.newMission();
    const head = Number(await node.services.log.head());
    expect(head).toBeGreaterThan(0);
    expect(await node.services.outbox.reaches(BigInt(head), 5_000)).toBe(true);
    const now = await samples();
    expect(now.get('sheratan_log_head')).toBe(head);
    expect(now.get('sheratan_log_reached')).toBe(1);
    for (const name of ['missions', 'outbox']) {
      expect(now.get(`sheratan_projection_position{projection="${name}"}`)).toBe(head);
      expect(now.get(`sheratan_projection_behind{projection="${name}"}`)).toBe(0);
    }
    const states = [...now].filter(([name]) => name.startsWith('sheratan_projection_state'));
    expect(states).toEqual([
      ['sheratan_projection_state{projection="missions",state="LIVE"}', 1],
      ['sheratan_projection_state{projection="outbox",state="LIVE"}', 1],
    ]);
  });

  it.each(['refuses', 'does not answer'])('are there while the log %s, without what only it can tell', async (how) => {
    let refuse: (reason: LogError) => void = () => undefined;
    const head = new Promise<bigint>((_resolve, reject) => {
      refuse = reject;
    });
    head.catch(() => undefined);
    const away = new LogError('LOG_UNAVAILABLE', 'It is away.');
    if (how === 'refuses') refuse(away);
    await node.newMission();
    const known = (await samples()).get('sheratan_log_head');
    const spy = vi.spyOn(node.services.log, 'head').mockReturnValue(head);
    onTestFinished(() => {
      spy.mockRestore();
      refuse(away);
    });
    const now = await samples();
    expect(now.get('sheratan_log_reached')).toBe(0);
    expect(now.get('sheratan_log_head')).toBe(known);
    expect(now.get('sheratan_projection_state{projection="missions",state="LIVE"}')).toBe(1);
    expect([...now.keys()].filter((name) => name.startsWith('sheratan_projection_behind'))).toEqual([]);
    spy.mockRestore();
    expect((await samples()).get('sheratan_log_reached')).toBe(1);
  });

  it('counts WebSocket clients', async () => {
    expect((await samples()).get('sheratan_websockets')).toBe(0);
    const clients = [node.client(), node.client()];
    for (const client of clients) await client.run('subscription { projectionProgress { name } }').take(1);
    expect((await samples()).get('sheratan_websockets')).toBe(2);
    for (const client of clients) await client.dispose();
    await expect.poll(async () => (await samples()).get('sheratan_websockets')).toBe(0);
  });
});

describe('the metrics of what hosts show', () => {
  const WAIT = { timeout: 120_000, interval: 50 };

  it('show epochs, the ages of trees, and the number of damaged events', async () => {
    const host = await newHost();
    const core = await settledCore([host]);
    const labels = `{host="${host.identity.id}",url="${host.url}"}`;
    const now = await samples(core);
    expect(now.get('sheratan_epochs_total')).toBe(1);
    expect(now.get('sheratan_left_out_total')).toBe(0);
    expect(now.get(`sheratan_damaged_events${labels}`)).toBe(0);
    expect(now.get(`sheratan_failed_audits${labels}`)).toBe(0);
    expect(now.get(`sheratan_tree_age_seconds${labels}`)).toBeLessThan(30);
    expect([...now.keys()].filter((name) => /^sheratan_(proof|staged)/.test(name))).toEqual([]);
    core.clock.advance(60_000);
    expect((await samples(core)).get(`sheratan_tree_age_seconds${labels}`)).toBeGreaterThanOrEqual(60);
  });

  it('show the events that a host keeps until the core is elected', async () => {
    const [up, down] = [await newHost(), await newHost()];
    const core = await settledCore([up, down]);
    await core.halt();
    await down.close();
    await core.restart();
    await core.newMission();
    const staged = `sheratan_staged_events{host="${up.identity.id}"}`;
    await expect.poll(async () => (await samples(core)).get(staged), WAIT).toBe(3);
    expect((await samples(core)).has(`sheratan_staged_events{host="${down.identity.id}"}`)).toBe(false);
    expect((await samples(core)).get('sheratan_epochs_total')).toBe(1);
  });

  it('show how a host has proven itself dishonest', async () => {
    const [honest, host] = [await newHost(), await newHost()];
    const liar = await LyingHost.of(host);
    const core = await newCore([honest, liar], { OFFGRID_REQUIRED_ACKS: '1', OFFGRID_ALLOW_MINORITY: 'true' });
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ pending: 0, headSequence: 2, degraded: false });
    liar.lie = 'forgetful';
    await core.newMission();
    await expect
      .poll(async () => (await samples(core)).get(`sheratan_proof_total{host="${liar.id}",kind="BATCH"}`), WAIT)
      .toBe(1);
    const proofs = [...(await samples(core)).keys()].filter((name) => name.startsWith('sheratan_proof_total'));
    expect(proofs).toEqual([`sheratan_proof_total{host="${liar.id}",kind="BATCH"}`]);
  });
});
