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
/** How long two cores that both claim the hosts may take until one of them is stopped. */
const LONG = { timeout: 100_000, interval: 50 };
/** How long a mutation waits for a quorum in these tests, in seconds. */
const SHORT = { SHERATAN_REPLICATED_TIMEOUT: '0.3' };
/** Longer than anything here takes on a busy machine. */
const PATIENT = { SHERATAN_REPLICATED_TIMEOUT: '100' };

let folders: string[];
let hosts: RunningHost[];
beforeEach(async () => {
  folders = [await newFolder(), await newFolder()];
  const [first = '', second = ''] = folders;
  // One of them is restarted at its address.
  hosts = [await newHost({ folder: first }), await newHost({ folder: second, port: await quietPort() })];
});

async function timed<V>(work: () => Promise<V>): Promise<[ms: number, value: V]> {
  const startedAt = performance.now();
  const value = await work();
  return [performance.now() - startedAt, value];
}

describe('a mutation that asks for REPLICATED', () => {
  it('answers once any quorum has signed', async () => {
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

  it('answers sooner than the normal interval of recording acknowledgements', async () => {
    const node = await settledCore(hosts);
    await node.mutate('createMission', { title: 'T' }, REPLICATED);
    // Sent one after the other, each mutation would otherwise wait for the next recording, 250 ms after the last. On a busy
    // machine, many of them may take as long, but not all.
    const times: number[] = [];
    for (let i = 0; i < 30; i += 1)
      times.push((await timed(() => node.mutate('createMission', { title: 'T' }, REPLICATED)))[0]);
    expect(Math.min(...times)).toBeLessThan(200);
  });

  it('waits together with hundreds of others, with one read of the outbox for all of them', async () => {
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

  it('answers with the durability reached in time while the hosts are unreachable, and undoes nothing', async () => {
    const node = await settledCore(hosts, SHORT);
    await hosts[1]?.close();
    const [ms, result] = await timed(() => node.mutate('createMission', { title: 'Kept here' }, REPLICATED));
    expect(result).toMatchObject({ durability: 'PROJECTED', mission: { title: 'Kept here' } });
    expect(ms).toBeGreaterThanOrEqual(295);
    expect(ms).toBeLessThan(5_000);
    const { missions } = await node.gql('{ missions { edges { node { title replication { state } } } } }');
    expect(missions.edges).toEqual([{ node: { title: 'Kept here', replication: { state: 'PENDING' } } }]);
  });

  it('is REPLICATED immediately when it changes nothing and everything has been signed for', async () => {
    const node = await settledCore(hosts, { SHERATAN_REPLICATED_TIMEOUT: '2' });
    const input = { title: 'Once', idempotencyKey: 'once' };
    // A quorum may take longer than a mutation waits in this test; then the mutation is repeated.
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

  it('is REPLICATED when the host returns in time', async () => {
    const node = await settledCore(hosts, PATIENT);
    const [, down] = hosts;
    expect(down).toBeDefined();
    await down?.close();
    const waiting = node.mutate('createMission', { title: 'T' }, REPLICATED);
    await expect.poll(async () => (await statusOf(node)).pending).toBe(1);
    // A host that is started on the same folder is the same host.
    await newHost({ port: Number(new URL(down?.url ?? '').port), folder: folders[1] ?? '' });
    expect(await waiting).toMatchObject({ durability: 'REPLICATED' });
  });

  it('is only APPENDED when queries do not show it, even when the hosts have it', async () => {
    const node = await settledCore(hosts);
    await node.services.log.append('mission-broken', [newEvent()], 'any');
    await expect.poll(async () => (await node.services.missions.status()).state).toBe('HALTED');
    expect(await node.mutate('createMission', { title: 'T' }, REPLICATED)).toMatchObject({ durability: 'APPENDED' });
    expect(await statusOf(node)).toMatchObject({ pending: 0 });
  });

  it('answers PROJECTED immediately when replication is disabled', async () => {
    const node = await TestNode.start();
    onTestFinished(() => node.stop());
    const [ms, result] = await timed(() => node.mutate('createMission', { title: 'T' }, REPLICATED));
    expect(result).toMatchObject({ durability: 'PROJECTED' });
    expect(ms).toBeLessThan(5_000);
  });

  it('does not prevent a node from stopping, and is answered', async () => {
    const node = await settledCore(hosts, PATIENT);
    for (const host of hosts) await host.close();
    const waiting = node.mutate('createMission', { title: 'T' }, REPLICATED);
    await expect.poll(async () => (await statusOf(node)).pending).toBe(1);
    const [ms] = await timed(() => node.halt());
    expect(ms).toBeLessThan(30_000);
    expect(await waiting).toMatchObject({ durability: 'PROJECTED' });
  });
});

/** Another core with the same hosts; its folder is prepared while it is stopped. */
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

describe('a core whose hosts another core claims', () => {
  it('continues when the other has fewer events than the hosts; the other is stopped', async () => {
    const node = await settledCore(hosts, PATIENT);
    const other = await another((folder) => copyFile(corePaths(node.folder).keyring, corePaths(folder).keyring));
    // It claims the hosts, and finds that they have events that its own log does not have.
    await expect.poll(() => statusOf(other), LONG).toMatchObject({ stopped: { code: 'BEHIND' }, elected: false });
    // A claim stops no core: this one claims again, with a higher epoch.
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

describe('a core whose log another process continues', () => {
  it('is stopped while it runs: mutations that wait for a quorum are answered, and no more are taken', async () => {
    const node = await settledCore(hosts, PATIENT);
    await node.halt();
    const before = await newFolder();
    await cp(node.folder, before, { recursive: true });
    await node.restart();
    await expect.poll(() => statusOf(node), LONG).toMatchObject({ elected: true });
    // The copy is another process of the same log: it claims a higher epoch, and is elected like any other.
    const copy = await another((folder) => cp(before, folder, { recursive: true }));
    const made = await copy.mutate('createMission', { title: 'By the copy' }, REPLICATED);
    expect(made).toMatchObject({ durability: 'REPLICATED' });
    const [ms, result] = await timed(() => node.mutate('createMission', { title: 'Not kept' }, REPLICATED));
    expect(result).toMatchObject({ durability: 'PROJECTED' });
    // The mutation was answered when the core was stopped, not when its waiting time was over.
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
