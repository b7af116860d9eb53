import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { newEvent } from '../../support/events.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { keptByAll, replicating, settledCore, statusOf, WAIT } from '../../support/offgrid/core.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { quietPort } from '../../support/ports.js';

const UNKNOWN = 'f'.repeat(32);
const STREAM = 'replication-core-v2';
const HOST = 'host { id state why confirmed weight sequence }';
const PROBLEM = `... on Problem {
  code message ... on NotFound { entity id } ... on HostStateProblem { hostId state } ... on InvalidInput { fields { path } }
}`;

/** Executes a mutation on a host. */
async function on(node: TestNode, name: string, id: string, more = '', token?: string): Promise<Untyped> {
  const type = name.charAt(0).toUpperCase() + name.slice(1);
  const document = `mutation ($id: ID!) {
    ${name}(id: $id${more}) { __typename ... on ${type}Payload { position durability ${HOST} } ${PROBLEM} }
  }`;
  return (await node.gql(document, { id }, token))[name];
}

const set = (node: TestNode, id: string, state: string, why = 'So it is.') =>
  on(node, 'setHostState', id, `, state: ${state}, why: "${why}"`);

/** Retires a host, once the others show that they have everything that was at quorum, including the policy in force. */
const retire = (node: TestNode, id: string) =>
  expect.poll(() => set(node, id, 'RETIRED'), WAIT).toMatchObject({ host: { id, state: 'RETIRED' } });

/** Records the state of a host, as the replicator does. */
async function put(node: TestNode, host: string, state: string): Promise<void> {
  const data = { origin: 'core-v2', host, state, sequence: 1, why: 'It refuses event 2.' };
  const { position } = await node.services.log.append(STREAM, [newEvent({ type: 'HostStateChanged', data })], 'any');
  await node.services.outbox.reaches(position, 5_000);
}

/** The recorded events about hosts and policies, without acknowledgements. */
async function recorded(node: TestNode): Promise<Untyped[]> {
  const { events } = await node.gql(
    `{ events(filter: { streams: ["${STREAM}"] }) { edges { node { type data metadata { actor } } } } }`,
  );
  return events.edges
    .map((edge: Untyped): Untyped => edge.node)
    .filter(({ type }: Untyped) => type !== 'ReplicasAcknowledged');
}

let folders: string[];
let hosts: RunningHost[];
let ids: [string, string, string];
beforeEach(async () => {
  folders = [await newFolder(), await newFolder(), await newFolder()];
  const [first = '', ...others] = folders;
  // One of them is restarted at its address.
  hosts = [
    await newHost({ folder: first, port: await quietPort() }),
    ...(await Promise.all(others.map((folder) => newHost({ folder })))),
  ];
  const [a = '', b = '', c = ''] = hosts.map(({ identity }) => identity.id);
  ids = [a, b, c];
});

/** Restarts a host that was closed. */
const back = (index: number) =>
  newHost({ port: Number(new URL(hosts[index]?.url ?? '').port), folder: folders[index] ?? '' });

describe('retryHost', () => {
  it.each(['BLOCKED', 'FULL'])('makes a %s host ACTIVE, and ships to it again', async (state) => {
    const node = await settledCore(hosts);
    await hosts[0]?.close();
    await put(node, ids[0], state);
    expect(await statusOf(node)).toMatchObject({ degraded: true });
    expect(await on(node, 'retryHost', ids[0])).toMatchObject({
      __typename: 'RetryHostPayload',
      durability: 'PROJECTED',
      host: { id: ids[0], state: 'ACTIVE', why: 'Retried.' },
    });
    await back(0);
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({ ...keptByAll(4), hosts: hosts.map(() => ({ sequence: 4 })) });
  });

  it('retries an ACTIVE host before its waiting time is over, and records nothing', async () => {
    const node = await settledCore(hosts);
    await hosts[0]?.close();
    await node.newMission();
    const before = await recorded(node);
    const reached = async () => (await statusOf(node)).hosts.find((host: Untyped) => host.id === ids[0]);
    await expect.poll(reached, WAIT).toMatchObject({ reached: false });
    await back(0);
    expect(await on(node, 'retryHost', ids[0])).toMatchObject({ host: { state: 'ACTIVE' } });
    await expect.poll(reached, { timeout: 2_000, interval: 20 }).toMatchObject({ reached: true, behind: 0 });
    expect(await recorded(node)).toEqual(before);
  });

  it('is refused for a host that is SUSPENDED or RETIRED', async () => {
    const node = await settledCore(hosts);
    expect(await set(node, ids[0], 'SUSPENDED')).toMatchObject({ host: { state: 'SUSPENDED' } });
    for (const state of ['SUSPENDED', 'RETIRED']) {
      if (state === 'RETIRED') await retire(node, ids[0]);
      const message = expect.stringContaining(`is ${state}: nothing is sent to it.`);
      const problem = { __typename: 'HostStateProblem', code: 'HOST_STATE', hostId: ids[0], state, message };
      expect(await on(node, 'retryHost', ids[0])).toEqual(problem);
    }
  });
});

describe('setHostState', () => {
  it('records who set which state of a host, and why', async () => {
    const node = await settledCore(hosts);
    const suspended = await set(node, ids[1], 'SUSPENDED');
    expect(suspended).toEqual({
      __typename: 'SetHostStatePayload',
      position: expect.any(String),
      durability: 'PROJECTED',
      host: { id: ids[1], state: 'SUSPENDED', why: 'So it is.', confirmed: false, weight: 1, sequence: 0 },
    });
    expect((await recorded(node)).at(-1)).toMatchObject({
      type: 'HostStateChanged',
      data: { origin: 'core-v2', host: ids[1], state: 'SUSPENDED', why: 'So it is.' },
      metadata: { actor: 'operator' },
    });
    expect(await set(node, ids[1], 'ACTIVE')).toMatchObject({ host: { state: 'ACTIVE' } });
    await expect.poll(() => statusOf(node), WAIT).toMatchObject(keptByAll(4));
  });

  it('names the token of the caller', async () => {
    const tokens = { SHERATAN_API_TOKENS: 'operator-token-0123456789:operator' };
    const node = await TestNode.start({ ...replicating(hosts), ...tokens });
    onTestFinished(() => node.stop());
    const token = 'operator-token-0123456789';
    await expect.poll(() => node.gql('{ hosts { id } }', {}, token), WAIT).toMatchObject({ hosts: [{}, {}, {}] });
    await on(node, 'setHostState', ids[0], ', state: SUSPENDED', token);
    const { events } = await node.gql(
      '{ events(filter: { types: ["HostStateChanged"] }) { edges { node { metadata { actor } } } } }',
      {},
      token,
    );
    expect(events.edges).toMatchObject([
      { node: { metadata: { actor: expect.stringMatching(/^operator:[0-9a-f]{8}$/) } } },
    ]);
  });

  it('changes nothing when the host is already in that state, even when called concurrently', async () => {
    const node = await settledCore(hosts);
    expect(await set(node, ids[0], 'ACTIVE')).toMatchObject({ host: { state: 'ACTIVE', why: '' } });
    expect(await recorded(node)).toHaveLength(1);
    const all = await Promise.all(Array.from({ length: 10 }, () => set(node, ids[0], 'SUSPENDED')));
    for (const answer of all) expect(answer).toMatchObject({ host: { state: 'SUSPENDED' } });
    expect(await recorded(node)).toHaveLength(2);
  });

  it('permanently retires a host that the others do not need, and the policy no longer names it', async () => {
    const node = await settledCore(hosts);
    const missionId = await node.newMission();
    await node.mutate('updateMission', { id: missionId, title: 'Kept' }, { consistency: 'REPLICATED' });
    await retire(node, ids[2]);
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({ policyVersion: 2, requiredAcks: 2, pending: 0, degraded: false, unmet: [] });
    const retired = (await statusOf(node)).hosts.find((host: Untyped) => host.id === ids[2]);
    expect(retired).toMatchObject({ state: 'RETIRED', weight: 0 });
    for (const state of ['ACTIVE', 'SUSPENDED']) {
      expect(await set(node, ids[2], state)).toMatchObject({
        code: 'HOST_STATE',
        state: 'RETIRED',
        message: expect.stringContaining('permanently'),
      });
    }
    expect(await set(node, ids[2], 'RETIRED')).toMatchObject({ host: { state: 'RETIRED' } });
    const last = await node.mutate('createMission', { title: 'After' }, { consistency: 'REPLICATED' });
    expect(last.durability).toBe('REPLICATED');
  });

  it('refuses to retire a host until the others have every event that a quorum signed for', async () => {
    const node = await settledCore(hosts);
    await hosts[0]?.close();
    await node.mutate('createMission', { title: 'On two of three' }, { consistency: 'REPLICATED' });
    const refused = await set(node, ids[1], 'RETIRED');
    expect(refused).toMatchObject({ code: 'HOST_STATE', hostId: ids[1], state: 'ACTIVE' });
    expect(refused.message).toContain('have not signed for all of events 1–3');
    expect(await recorded(node)).toHaveLength(1);
    await back(0);
    await retire(node, ids[1]);
  });

  it('refuses to retire a host without which no quorum could sign again', async () => {
    const node = await settledCore(hosts.slice(0, 2));
    expect(await set(node, ids[0], 'RETIRED')).toMatchObject({ code: 'HOST_STATE', state: 'ACTIVE' });
    const one = await settledCore(hosts.slice(2));
    expect(await set(one, ids[2], 'RETIRED')).toMatchObject({ code: 'HOST_STATE', state: 'ACTIVE' });
  });
});

describe('confirmHost', () => {
  it('sets a policy that confirms the host, and changes nothing else', async () => {
    const node = await settledCore(hosts);
    expect(await on(node, 'confirmHost', ids[0], ', consistency: REPLICATED')).toMatchObject({
      durability: 'REPLICATED',
      host: { id: ids[0], confirmed: true },
    });
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ policyVersion: 2, ...keptByAll(3) });
    const [first, second] = await recorded(node);
    expect(second.metadata.actor).toBe('operator');
    expect(second.data).toEqual({
      ...first.data,
      version: 2,
      hosts: first.data.hosts.map((host: Untyped) => ({ ...host, confirmed: host.host === ids[0] })),
    });
  });

  it('changes nothing the second time, and persists over a restart', async () => {
    const node = await settledCore(hosts);
    await Promise.all([
      on(node, 'confirmHost', ids[0]),
      on(node, 'confirmHost', ids[0]),
      on(node, 'confirmHost', ids[1]),
    ]);
    await node.restart();
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ policyVersion: 3, ...keptByAll(4) });
    const confirmed = (await statusOf(node)).hosts.filter((host: Untyped) => host.confirmed);
    expect(confirmed.map(({ id }: Untyped) => id).sort()).toEqual([ids[0], ids[1]].sort());
  });

  it('is refused for a host that the policy no longer names', async () => {
    const node = await settledCore(hosts);
    await retire(node, ids[2]);
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ policyVersion: 2 });
    expect(await on(node, 'confirmHost', ids[2])).toMatchObject({ code: 'HOST_STATE', state: 'RETIRED' });
  });
});

describe('rotateKey', () => {
  const ROTATE = 'mutation { rotateKey { __typename ... on RotateKeyPayload { keyEpoch position durability } } }';

  it('begins a key epoch, and hosts keep the later events as before', async () => {
    const node = await settledCore(hosts);
    expect((await node.gql(ROTATE)).rotateKey).toEqual({
      __typename: 'RotateKeyPayload',
      keyEpoch: 2,
      position: expect.any(String),
      durability: 'PROJECTED',
    });
    const [first, second] = await node.eventsOf('keyring-core-v2');
    expect(second).toMatchObject({ type: 'KeyRotated', data: { keyEpoch: 2, rootKeyId: first?.data.rootKeyId } });
    expect(second?.data.keyId).not.toBe(first?.data.keyId);
    const { durability } = await node.mutate('createMission', { title: 'T' }, { consistency: 'REPLICATED' });
    expect(durability).toBe('REPLICATED');
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ keyEpoch: 2, ...keptByAll(4) });
  });

  it('gives each of several concurrent calls its own key epoch', async () => {
    const node = await settledCore(hosts);
    const epochs = await Promise.all(
      Array.from({ length: 5 }, async (): Promise<number> => (await node.gql(ROTATE)).rotateKey.keyEpoch),
    );
    expect(epochs.sort()).toEqual([2, 3, 4, 5, 6]);
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ keyEpoch: 6, ...keptByAll(7) });
  });
});

describe('an operation on a host', () => {
  const MUTATIONS = [
    ['retryHost', ''],
    ['confirmHost', ''],
    ['setHostState', ', state: SUSPENDED'],
  ] as const;

  it('is refused for an unknown host, and for a reason that is too long', async () => {
    const node = await settledCore(hosts);
    const long = await set(node, ids[0], 'SUSPENDED', 'x'.repeat(1_001));
    expect(long).toMatchObject({ code: 'INVALID_INPUT', fields: [{ path: 'why' }] });
    for (const [name, more] of MUTATIONS) {
      expect(await on(node, name, UNKNOWN, more)).toEqual({
        __typename: 'NotFound',
        code: 'NOT_FOUND',
        message: `There is no host '${UNKNOWN}'.`,
        entity: 'Host',
        id: UNKNOWN,
      });
    }
  });

  it('is refused when replication is disabled', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    const disabled = {
      __typename: 'ReplicationIsDisabled',
      code: 'REPLICATION_DISABLED',
      message: expect.stringContaining('OFFGRID_STORAGE_ENABLED'),
    };
    for (const [name, more] of MUTATIONS) expect(await on(node, name, UNKNOWN, more)).toEqual(disabled);
    const { rotateKey } = await node.gql(`mutation { rotateKey { __typename ... on Problem { code message } } }`);
    expect(rotateKey).toEqual(disabled);
  });
});
