import { copyFile, cp } from 'node:fs/promises';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { newEvent } from '../../support/events.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { replicating, settledCore, statusOf, WAIT } from '../../support/offgrid/core.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { quietPort } from '../../support/ports.js';

const REPLICATED = { consistency: 'REPLICATED' } as const;
/** How long it may take until two cores that both claim have come to an end. */
const LONG = { timeout: 100_000, interval: 50 };
/** How long a mutation waits for a quorum in these tests, in seconds. */
const SHORT = { SHERATAN_REPLICATED_TIMEOUT: '0.3' };
/** Longer than a machine with other things to do takes for anything here. */
const PATIENT = { SHERATAN_REPLICATED_TIMEOUT: '100' };

let folders: string[];
let hosts: RunningHost[];
beforeEach(async () => {
  folders = [await newFolder(), await newFolder()];
  const [first = '', second = ''] = folders;
  // One of them is started again at its address.
  hosts = [await newHost({ folder: first }), await newHost({ folder: second, port: await quietPort() })];
});

async function timed<V>(work: () => Promise<V>): Promise<[ms: number, value: V]> {
  const startedAt = performance.now();
  const value = await work();
  return [performance.now() - startedAt, value];
}

describe('a mutation that asks for REPLICATED', () => {
  it('answers once a quorum has signed, whichever it is', async () => {
    const node = await settledCore(hosts);
    const did = async (name: string, input: object): Promise<Untyped> => {
      const result = await node.mutate(name, input, REPLICATED);
      expect(result).toMatchObject({ durability: 'REPLICATED' });
      const { outbox } = await node.gql(
        'query ($at: Position) { outbox(filter: { status: PENDING }, at: $at) { totalCount } }',
        {
          at: result.position,
        },
      );
      expect(outbox.totalCount).toBe(0);
      return result;
    };
    const { mission } = await did('createMission', { title: 'T' });
    await did('updateMission', { id: mission.id, title: 'U' });
    const { task } = await did('createTask', { missionId: mission.id, name: 'T' });
    await did('updateTask', { id: task.id, name: 'U' });
    const ids = [];
    for (let i = 0; i < 3; i += 1) ids.push((await did('createJob', { taskId: task.id })).job.id);
    const { jobs } = await did('claimJobs', { worker: 'w', limit: 2 });
    await did('completeJob', { id: jobs[0].id, worker: 'w', attempt: 1 });
    await did('failJob', { id: jobs[1].id, worker: 'w', attempt: 1, reason: 'R', retryable: false });
    await did('cancelJob', { id: ids.find((id) => jobs.every((job: Untyped) => job.id !== id)) });
    await did('closeMission', { id: mission.id, outcome: 'COMPLETED' });
    const key = await node.gql(
      'mutation { rotateKey(consistency: REPLICATED) { ... on RotateKeyPayload { durability } } }',
    );
    expect(key.rotateKey).toEqual({ durability: 'REPLICATED' });
  });

  it('answers sooner than acknowledgements are recorded otherwise', async () => {
    const node = await settledCore(hosts);
    await node.mutate('createMission', { title: 'T' }, REPLICATED);
    // One after the other, each would wait for the next recording, 250 ms after the last. A machine with other things to do
    // takes its time for many of them, and not for all.
    const times: number[] = [];
    for (let i = 0; i < 30; i += 1)
      times.push((await timed(() => node.mutate('createMission', { title: 'T' }, REPLICATED)))[0]);
    expect(Math.min(...times)).toBeLessThan(200);
  });

  it('waits together with hundreds of others, with a look at the outbox for all of them', async () => {
    const node = await settledCore(hosts, PATIENT);
    const asked = vi.spyOn(Connection.prototype, 'all');
    onTestFinished(() => {
      asked.mockRestore();
    });
    const results = await Promise.all(
      Array.from({ length: 300 }, () => node.mutate('createMission', { title: 'T' }, REPLICATED)),
    );
    expect(new Set(results.map(({ durability }) => durability))).toEqual(new Set(['REPLICATED']));
    const looks = asked.mock.calls.filter(([sql]) => sql.includes('p.quorum + 1')).length;
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThan(150);
  });

  it('answers with what was reached in time while the hosts are away, and nothing is undone', async () => {
    const node = await settledCore(hosts, SHORT);
    await hosts[1]?.close();
    const [ms, result] = await timed(() => node.mutate('createMission', { title: 'Kept here' }, REPLICATED));
    expect(result).toMatchObject({ durability: 'PROJECTED', mission: { title: 'Kept here' } });
    expect(ms).toBeGreaterThanOrEqual(295);
    expect(ms).toBeLessThan(5_000);
    const { missions } = await node.gql('{ missions { edges { node { title replication { state } } } } }');
    expect(missions.edges).toEqual([{ node: { title: 'Kept here', replication: { state: 'PENDING' } } }]);
  });

  it('is REPLICATED at once when it changes nothing, and what there is has been signed for', async () => {
    const node = await settledCore(hosts, { SHERATAN_REPLICATED_TIMEOUT: '2' });
    const input = { title: 'Once', idempotencyKey: 'once' };
    // It may take longer than a mutation waits for in this test; then it is asked for again.
    let first: Untyped;
    const create = async () => {
      first = await node.mutate('createMission', input, REPLICATED);
      return first.durability;
    };
    await expect.poll(create, WAIT).toBe('REPLICATED');
    for (const host of hosts) await host.close();
    expect(await node.mutate('createMission', input, REPLICATED)).toEqual(first);
    const { id } = first.mission;
    expect(await node.mutate('updateMission', { id, title: 'Once' }, REPLICATED)).toMatchObject({
      durability: 'REPLICATED',
    });
    expect(await node.mutate('updateMission', { id, title: 'Twice' }, REPLICATED)).toMatchObject({
      durability: 'PROJECTED',
    });
  });

  it('is REPLICATED when the host comes back in time', async () => {
    const node = await settledCore(hosts, PATIENT);
    const [, down] = hosts;
    expect(down).toBeDefined();
    await down?.close();
    const waiting = node.mutate('createMission', { title: 'T' }, REPLICATED);
    await expect.poll(async () => (await statusOf(node)).pending).toBe(1);
    // Another host of the same folder is the same host.
    await newHost({ port: Number(new URL(down?.url ?? '').port), folder: folders[1] ?? '' });
    expect(await waiting).toMatchObject({ durability: 'REPLICATED' });
  });

  it('is only APPENDED where queries do not show it, whatever the hosts have', async () => {
    const node = await settledCore(hosts);
    await node.services.log.append('mission-broken', [newEvent()], 'any');
    await expect.poll(async () => (await node.services.missions.status()).state).toBe('HALTED');
    expect(await node.mutate('createMission', { title: 'T' }, REPLICATED)).toMatchObject({ durability: 'APPENDED' });
    expect(await statusOf(node)).toMatchObject({ pending: 0 });
  });

  it('answers PROJECTED at once where nothing is replicated', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    const [ms, result] = await timed(() => node.mutate('createMission', { title: 'T' }, REPLICATED));
    expect(result).toMatchObject({ durability: 'PROJECTED' });
    expect(ms).toBeLessThan(5_000);
  });

  it('does not keep a node from stopping, and is answered', async () => {
    const node = await settledCore(hosts, PATIENT);
    for (const host of hosts) await host.close();
    const waiting = node.mutate('createMission', { title: 'T' }, REPLICATED);
    await expect.poll(async () => (await statusOf(node)).pending).toBe(1);
    const [ms] = await timed(() => node.halt());
    expect(ms).toBeLessThan(30_000);
    expect(await waiting).toMatchObject({ durability: 'PROJECTED' });
  });
});

/** Another core that has the hosts for its own, once its folder was made ready while it was stopped. */
async function another(ready: (folder: string) => Promise<unknown>): Promise<TestNode> {
  const env: Record<string, string> = { OFFGRID_STORAGE_ENABLED: 'false', ...PATIENT };
  const other = await TestNode.start(env);
  onTestFinished(() => other.stop());
  await other.halt();
  await ready(other.folder);
  Object.assign(env, replicating(hosts));
  await other.restart();
  return other;
}

describe('a core that another claims the hosts from', () => {
  it('goes on after, when the other has less than the hosts; that one is stopped', async () => {
    const node = await settledCore(hosts, PATIENT);
    const other = await another((folder) => copyFile(corePaths(node.folder).keyring, corePaths(folder).keyring));
    // It claims the hosts, and finds that they have what its own log does not.
    await expect.poll(() => statusOf(other), LONG).toMatchObject({ stopped: { code: 'BEHIND' }, elected: false });
    // A claim stops nobody: this one claims again, above it.
    expect(await node.mutate('createMission', { title: 'Kept' }, REPLICATED)).toMatchObject({
      durability: 'REPLICATED',
    });
    const { writerEpoch, stopped, elected, quorumSequence } = await statusOf(node);
    expect({ stopped, elected, quorumSequence }).toEqual({ stopped: null, elected: true, quorumSequence: 3 });
    expect(writerEpoch).toBeGreaterThan(2);
    expect(await other.refusal('mutation { createMission(input: { title: "T" }) { __typename } }')).toMatchObject({
      code: 'REPLICATION_STOPPED',
    });
  });
});

describe('a core that another writes for', () => {
  it('is stopped while it runs: who waits for a quorum is told, and nothing more is taken', async () => {
    const node = await settledCore(hosts, PATIENT);
    await node.halt();
    const before = await newFolder();
    await cp(node.folder, before, { recursive: true });
    await node.restart();
    await expect.poll(() => statusOf(node), LONG).toMatchObject({ elected: true });
    // The copy is another process of the same log: it claims above, and is elected like any other.
    const copy = await another((folder) => cp(before, folder, { recursive: true }));
    const made = await copy.mutate('createMission', { title: 'By the copy' }, REPLICATED);
    expect(made).toMatchObject({ durability: 'REPLICATED' });
    const [ms, result] = await timed(() => node.mutate('createMission', { title: 'Not kept' }, REPLICATED));
    expect(result).toMatchObject({ durability: 'PROJECTED' });
    // It was told when the core was stopped, and not when its time was over.
    expect(ms).toBeLessThan(50_000);
    await expect
      .poll(() => statusOf(node), LONG)
      .toMatchObject({ degraded: true, elected: false, stopped: { code: 'BEHIND' }, quorumSequence: 2 });
    const refused = await node.refusal('mutation { createMission(input: { title: "T" }) { __typename } }');
    expect(refused).toMatchObject({ code: 'REPLICATION_STOPPED' });
    expect(await node.fetch('/readyz')).toMatchObject({ status: 503, body: { reasons: ['replication: BEHIND'] } });
    expect(await copy.mutate('createMission', { title: 'More' }, REPLICATED)).toMatchObject({
      durability: 'REPLICATED',
    });
    expect(await statusOf(copy)).toMatchObject({ stopped: null, quorumSequence: 4 });
  });
});

describe('a POST', () => {
  it('does not wait for hosts', async () => {
    const node = await settledCore(hosts);
    for (const host of hosts) await host.close();
    const [ms, { headers }] = await timed(() => node.fetch('/api/missions', { method: 'POST', body: '{"title":"T"}' }));
    expect(headers.get('x-durability')).toBe('PROJECTED');
    expect(ms).toBeLessThan(5_000);
  });
});
