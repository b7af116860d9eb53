import { rm, writeFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { openKeyring } from '../../../src/infra/crypto/keyring-file.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { keptByAll, newCore, replicating, settledCore, statusOf, WAIT } from '../../support/offgrid/core.js';
import { newHost } from '../../support/offgrid/host.js';
import { quietPort } from '../../support/ports.js';

const UNREACHABLE = { url: 'http://127.0.0.1:9' };

/** Restarts a core that replicated, with changed files or settings. */
async function restarted(node: TestNode, change: () => Promise<unknown>): Promise<void> {
  await node.halt();
  await change();
  await node.restart();
}

describe('replicationStatus', () => {
  it('shows the progress of everything once all hosts have signed', async () => {
    const hosts = [await newHost(), await newHost()];
    const node = await settledCore(hosts);
    await node.newMission();
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(3));
    const urls = hosts.map(({ url }) => url).sort();
    expect(await statusOf(node)).toEqual({
      enabled: true,
      origin: 'core-v2',
      line: 1,
      elected: true,
      missingWeight: 0,
      // Both hosts were heard, and both must sign: one may be dishonest without harm.
      mayLie: 1,
      staged: [],
      writerEpoch: 1,
      keyEpoch: 1,
      policyVersion: 1,
      requiredAcks: 2,
      headSequence: 3,
      quorumSequence: 3,
      pending: 0,
      completed: 3,
      lagSeconds: 0,
      degraded: false,
      stopped: null,
      refusal: null,
      unmet: [],
      hosts: urls.map((url) => ({
        id: hosts.find((host) => host.url === url)?.identity.id,
        name: new URL(url).host,
        url,
        state: 'ACTIVE',
        why: '',
        confirmed: false,
        weight: 1,
        sequence: 3,
        behind: 0,
        lastAcknowledgedAt: expect.stringMatching(/^\d{4}-.*Z$/),
        reached: true,
        lastError: null,
        damaged: 0,
        proof: null,
        score: null,
      })),
    });
    expect((await node.gql('{ hosts { url sequence } }')).hosts).toEqual(urls.map((url) => ({ url, sequence: 3 })));
  });

  it('shows which events are pending, since when, and which host is the cause', async () => {
    const [up, down] = [await newHost(), await newHost()];
    const node = await settledCore([up, down]);
    await down.close();
    const before = performance.now();
    await node.newMission();
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({ headSequence: 3, quorumSequence: 2, pending: 1, completed: 2, degraded: true });
    node.clock.advance(60_000);
    const { lagSeconds } = await statusOf(node);
    expect(lagSeconds).toBeGreaterThan(60);
    expect(lagSeconds).toBeLessThan(60 + (performance.now() - before) / 1_000 + 1);
    const hostsById = async (): Promise<Untyped> =>
      Object.fromEntries((await statusOf(node)).hosts.map((host: Untyped) => [host.id, host]));
    await expect.poll(hostsById, WAIT).toMatchObject({
      [up.identity.id]: { reached: true, behind: 0, lastError: null },
      [down.identity.id]: { reached: false, behind: 1, lastError: expect.any(String) },
    });
  });

  it('is degraded while a host of the policy is not ACTIVE', async () => {
    const [host, other] = [await newHost(), await newHost()];
    const node = await settledCore([host, other]);
    const set =
      'mutation ($id: ID!, $state: SettableHostState!) { setHostState(id: $id, state: $state) { __typename } }';
    await node.gql(set, { id: host.identity.id, state: 'SUSPENDED' });
    expect(await statusOf(node)).toMatchObject({ degraded: true });
    await node.gql(set, { id: host.identity.id, state: 'ACTIVE' });
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(4));
  });

  it('is degraded once a host lacks an event that is older than ten seconds, although the host is reached', async () => {
    const host = await newHost();
    const node = await settledCore([host]);
    const { replication } = node.services;
    const { replicator } = replication ?? {};
    expect(replicator).toBeDefined();
    // Without a replicator, nothing is shipped.
    await replicator?.stop();
    await node.newMission();
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ pending: 1, degraded: false });
    node.clock.advance(11_000);
    expect(await statusOf(node)).toMatchObject({ pending: 1, degraded: true });
  });

  it('names the URLs at which no host was met', async () => {
    const node = await newCore([UNREACHABLE]);
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({
        policyVersion: null,
        degraded: true,
        hosts: [],
        unmet: [{ url: UNREACHABLE.url, trouble: expect.any(String) }],
      });
  });

  it('names a URL at which another host answers than before', async () => {
    const first = await newHost({ port: await quietPort() });
    const node = await settledCore([first]);
    await restarted(node, async () => {
      await first.close();
      await newHost({ port: Number(new URL(first.url).port) });
    });
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({
        degraded: true,
        unmet: [{ url: first.url, trouble: expect.stringContaining('answers with the key') }],
      });
  });

  it('keeps the state of an unreachable host over a restart, and does not list its URL as unmet', async () => {
    const host = await newHost();
    const node = await settledCore([host]);
    await restarted(node, () => host.close());
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({
        degraded: true,
        unmet: [],
        hosts: [{ reached: false, sequence: 2, lastError: expect.any(String) }],
      });
  });

  it('shows that replication is disabled, and counts events all the same', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    const { position } = await node.mutate('createMission', { title: 'T' });
    await node.gql('query ($at: Position) { outbox(at: $at) { totalCount } }', { at: position });
    node.clock.advance(60_000);
    expect(await statusOf(node)).toMatchObject({
      enabled: false,
      origin: null,
      policyVersion: null,
      ...{ line: 1, elected: null, missingWeight: null, mayLie: null, staged: [] },
      headSequence: 1,
      quorumSequence: 0,
      pending: 1,
      lagSeconds: 0,
      degraded: false,
      hosts: [],
      unmet: [],
    });
  });

  it('is the same after the outbox was rebuilt', async () => {
    const hosts = [await newHost()];
    const node = await settledCore(hosts);
    await node.newMission();
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(3));
    // Two seconds later it is also recorded that the host knows about the quorum; after that nothing more is recorded.
    const lastQuorum = async () => {
      let last: Untyped;
      for await (const { data } of node.services.log.readAll({ filter: { types: ['ReplicasAcknowledged'] } }))
        last = data;
      return last?.hosts[0]?.head.quorum;
    };
    await expect.poll(lastQuorum, WAIT).toBe(3);
    expect(await node.services.outbox.reaches(await node.services.log.head(), WAIT.timeout)).toBe(true);
    const before = { ...(await statusOf(node)), ...(await node.services.outbox.digest()) };
    await node.gql('mutation { rebuildProjection(name: "outbox") { ... on Problem { message } } }');
    await node.services.outbox.rebuilt();
    await expect.poll(async () => (await node.services.outbox.status()).state).toBe('LIVE');
    expect({ ...(await statusOf(node)), ...(await node.services.outbox.digest()) }).toEqual(before);
    expect((await node.services.outbox.status()).generation).toBe(2);
    await node.gql('mutation { rollbackProjection(name: "outbox") { ... on Problem { message } } }');
    await node.newMission();
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(4));
  });
});

describe('a core whose log is not its own', () => {
  it('refuses to replicate the log of another origin', async () => {
    const env = replicating([await newHost()]);
    const node = await TestNode.start(env);
    onTestFinished(() => node.stop());
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(2));
    await restarted(node, () => Promise.resolve((env['SHERATAN_ORIGIN'] = 'another')));
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ degraded: true, refusal: 'OTHER_ORIGIN' });
    await expectRefusal(node, 'OTHER_ORIGIN', /another origin/);
  });

  it('refuses to replicate with another root key than the one of the log', async () => {
    const node = await settledCore([await newHost()]);
    await restarted(node, async () => {
      const { keyring } = corePaths(node.folder);
      await rm(keyring);
      await openKeyring(keyring, undefined);
    });
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ degraded: true, refusal: 'OTHER_ROOT_KEY' });
    await expectRefusal(node, 'OTHER_ROOT_KEY', /another root key/);
  });

  it('refuses to replicate without the root key of the log', async () => {
    const node = await settledCore([await newHost()]);
    await restarted(node, () => rm(corePaths(node.folder).keyring));
    expect(await statusOf(node)).toMatchObject({ degraded: true, refusal: 'KEYRING_MISSING' });
    await expectRefusal(node, 'KEYRING_MISSING', /keyring is missing/);
  });
});

/** Operations on hosts and keys are refused; missions are not affected. */
async function expectRefusal(node: TestNode, code: string, message: RegExp): Promise<void> {
  const [{ id }] = (await statusOf(node)).hosts;
  const ask = `mutation ($id: ID!) {
    retryHost(id: $id) { ...P } confirmHost(id: $id) { ...P } setHostState(id: $id, state: SUSPENDED) { ...P } rotateKey { ...P }
  } fragment P on Problem { __typename code message }`;
  const problems = Object.values<Untyped>(await node.gql(ask, { id }));
  expect(problems).toHaveLength(4);
  for (const problem of problems) {
    const expected = { __typename: 'ReplicationStateProblem', code: 'REPLICATION_STATE' };
    expect(problem).toEqual({ ...expected, message: expect.stringMatching(message) });
  }
  expect(await node.fetch('/readyz')).toMatchObject({ status: 503, body: { reasons: [`replication: ${code}`] } });
  expect((await node.fetch('/api/status')).body).toMatchObject({ status: 'degraded', replication: { refusal: code } });
  const startedAt = performance.now();
  const { durability } = await node.mutate('createMission', { title: 'T' }, { consistency: 'REPLICATED' });
  expect(durability).toBe('PROJECTED');
  expect(performance.now() - startedAt).toBeLessThan(5_000);
}

describe('a core that was stopped', () => {
  it.each(['FORKED', 'BEHIND'])('takes no more mutations (%s), and every API shows it', async (code) => {
    const host = await newHost();
    const node = await settledCore([host]);
    const { logId } = node.services.log;
    await restarted(node, async () => {
      const stopped = { code, message: 'It was so.' };
      const record = { logId, epoch: 1, stopped };
      await writeFile(corePaths(node.folder).writer, JSON.stringify(record));
    });
    expect(await statusOf(node)).toMatchObject({ degraded: true, stopped: { code, message: 'It was so.' } });
    expect((await statusOf(node)).elected).not.toBe(true);
    const id = host.identity.id;
    for (const [document, variables] of [
      ['mutation { createMission(input: { title: "T" }) { __typename } }', {}],
      ['mutation { createMission(input: { title: "T" }, consistency: REPLICATED) { __typename } }', {}],
      ['mutation ($id: ID!) { retryHost(id: $id) { __typename } }', { id }],
      ['mutation ($id: ID!) { setHostState(id: $id, state: SUSPENDED) { __typename } }', { id }],
      ['mutation ($id: ID!) { confirmHost(id: $id) { __typename } }', { id }],
      ['mutation { rotateKey { __typename } }', {}],
    ] as const) {
      const refused = await node.refusal(document, variables);
      expect(refused).toEqual({ code: 'REPLICATION_STOPPED', message: expect.stringContaining(`(${code})`) });
    }
    const posted = await node.fetch('/api/missions', { method: 'POST', body: '{"title":"T"}' });
    expect(posted).toMatchObject({ status: 503, body: { errors: [{ extensions: { code: 'REPLICATION_STOPPED' } }] } });
    expect(await node.fetch('/readyz')).toMatchObject({ status: 503, body: { reasons: [`replication: ${code}`] } });
    expect((await node.fetch('/api/status')).body).toMatchObject({
      status: 'degraded',
      replication: { stopped: { code } },
    });
    expect((await node.gql('{ missions { totalCount } }')).missions).toEqual({ totalCount: 0 });
  });
});

describe('a core whose folder records that it was fenced, by protocol 1', () => {
  it('claims the hosts again: a claim stops no core', async () => {
    const node = await settledCore([await newHost()]);
    const { logId } = node.services.log;
    await restarted(node, async () => {
      const stopped = { code: 'FENCED', message: 'It was so.' };
      const record = { epoch: 4, writer: `${logId}:x`, isElected: true, stopped };
      await writeFile(corePaths(node.folder).writer, JSON.stringify(record));
    });
    await node.newMission();
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({ ...keptByAll(3), stopped: null, elected: true, writerEpoch: 5 });
  });
});

describe('replicationStatusChanged', () => {
  const CHANGED =
    'subscription { replicationStatusChanged { headSequence quorumSequence pending degraded hosts { reached } } }';

  it('returns the status now, and each time it changes, a few times a second at most', async () => {
    const node = await settledCore([await newHost()]);
    const feed = node.client().run(CHANGED);
    const [first] = await feed.take(1);
    expect(first.replicationStatusChanged).toMatchObject(keptByAll(2));
    const startedAt = performance.now();
    for (let i = 0; i < 60; i += 1) await node.newMission();
    await expect.poll(() => feed.values.at(-1)?.replicationStatusChanged, WAIT).toMatchObject(keptByAll(62));
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(feed.values.length).toBeLessThanOrEqual(2 + seconds * 5);
    feed.end();
  });

  it('shows that a host is no longer reached, although nothing more is recorded', async () => {
    const host = await newHost();
    const node = await settledCore([host]);
    const feed = node.client().run(CHANGED);
    await feed.take(1);
    await host.close();
    await node.mutate('createMission', { title: 'T' }, { consistency: 'APPENDED' });
    const last = () => feed.values.at(-1)?.replicationStatusChanged;
    await expect.poll(last, WAIT).toMatchObject({ pending: 1, degraded: true, hosts: [{ reached: false }] });
  });

  it('returns the status when replication is disabled', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    const feed = node.client().run(CHANGED);
    await feed.take(1);
    await node.newMission();
    await expect.poll(() => feed.values.at(-1)?.replicationStatusChanged, WAIT).toMatchObject({ pending: 1 });
  });
});

describe('the gauges of replication', () => {
  it('show its progress, and the state of the hosts', async () => {
    const [up, down] = [await newHost(), await newHost()];
    const node = await settledCore([up, down]);
    await down.close();
    await node.newMission();
    const gauges = async () => {
      const { text } = await node.fetch('/metrics');
      const lines = text.split('\n').filter((line) => /^sheratan_(outbox|host)_/.test(line));
      return Object.fromEntries(
        lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
      );
    };
    const of = ({ identity, url }: typeof up) => `{host="${identity.id}",url="${url}"}`;
    await expect.poll(gauges, WAIT).toEqual({
      sheratan_outbox_head: 3,
      sheratan_outbox_quorum: 2,
      sheratan_outbox_pending: 1,
      sheratan_outbox_lag_seconds: expect.any(Number),
      [`sheratan_host_sequence${of(up)}`]: 3,
      [`sheratan_host_sequence${of(down)}`]: 2,
      [`sheratan_host_behind${of(up)}`]: 0,
      [`sheratan_host_behind${of(down)}`]: 1,
      [`sheratan_host_reached${of(up)}`]: 1,
      [`sheratan_host_reached${of(down)}`]: 0,
    });
    expect((await gauges())['sheratan_outbox_lag_seconds']).toBeGreaterThan(0);
    expect(await node.fetch('/readyz')).toMatchObject({ status: 200 });
    expect((await node.fetch('/api/status')).body).toMatchObject({
      status: 'ok',
      replication: {
        enabled: true,
        line: 1,
        elected: true,
        head: 3,
        quorum: 2,
        pending: 1,
        required_acks: 2,
        degraded: true,
      },
    });
  });
});
