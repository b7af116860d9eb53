import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { mutation } from '../../support/documents.js';
import { tombstone } from '../../support/eventstore/operator.js';
import type { StandIn } from '../../support/eventstore/stand-in.js';
import { holdBack } from '../../support/hold-back.js';
import { startStandIn } from '../../support/log-server.js';
import { TestNode, type Untyped } from '../../support/node.js';

const REQUEST = { worker: 'w', limit: 1, leaseSeconds: 60 };

let node: TestNode;
let taskId: string;
async function startNode(env?: Readonly<Record<string, string>>): Promise<void> {
  const started = await TestNode.start(env);
  onTestFinished(() => started.stop());
  node = started;
  taskId = await node.newTask(await node.newMission());
}

describe('a keyed claim that is repeated while the read model is behind', () => {
  beforeEach(() => startNode());

  it('is asked to try again, and then answered with the jobs it claimed before: it claims no second set', async () => {
    for (let i = 0; i < 3; i += 1) await node.newJob(taskId);
    const letGo = await holdBack(node);
    const input = { ...REQUEST, idempotencyKey: 'a key' };
    const first = await node.mutate('claimJobs', input, { consistency: 'APPENDED' });
    expect(first.jobs).toHaveLength(1);
    const refusal = await node.refusal(mutation('claimJobs'), { input, consistency: 'APPENDED' });
    expect(refusal.code).toBe('CONSISTENCY_TIMEOUT');
    expect(refusal.message).toContain(`have not reached ${first.position};`);

    await letGo();
    expect((await node.mutate('claimJobs', input)).jobs).toEqual(first.jobs);
    const others = await node.mutate('claimJobs', { ...REQUEST, limit: 10 });
    expect(others.jobs).toHaveLength(2);
    expect(others.jobs.map(({ id }: Untyped): string => id)).not.toContain(first.jobs[0].id);
  });
});

describe('a claim of which the log refuses a part', () => {
  let server: StandIn;
  beforeEach(async () => {
    server = await startStandIn();
    onTestFinished(() => server.stop());
    await startNode({ SHERATAN_EVENTSTORE_URL: server.url });
  });

  it('is answered with the jobs that were dispatched', async () => {
    const ids = [await node.newJob(taskId), await node.newJob(taskId), await node.newJob(taskId)];
    tombstone(server, `job-${ids[1]}`);
    const { jobs } = await node.mutate('claimJobs', { ...REQUEST, limit: 3 });
    expect(jobs.map(({ id }: Untyped): string => id)).toEqual([ids[0], ids[2]]);
  });

  it('fails when nothing was dispatched', async () => {
    tombstone(server, `job-${await node.newJob(taskId)}`);
    const refusal = await node.refusal(mutation('claimJobs'), { input: REQUEST, consistency: 'APPENDED' });
    expect(refusal.code).toBe('STREAM_TOMBSTONED');
  });
});
