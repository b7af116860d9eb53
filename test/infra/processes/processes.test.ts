import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { CommandContext } from '../../../src/infra/commands/context.js';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { newEvent } from '../../support/events.js';
import { TestNode } from '../../support/node.js';
import { tamper } from '../projector/support.js';

/** How long the processes may take to do due work, in milliseconds. */
const PATIENCE = { timeout: 15_000, interval: 50 };
/** Leases handled at a time. */
const BATCH = 100;

const context: CommandContext = { actor: 'tester', correlationId: 'test' };

let node: TestNode;
let missionId: string;
let taskId: string;
beforeEach(async () => {
  node = await TestNode.start();
  onTestFinished(() => node.stop());
  missionId = await node.newMission();
  taskId = await node.newTask(missionId);
});

const state = async (): Promise<string> => (await node.services.missions.status()).state;
const close = () => node.services.commands.closeMission(missionId, 'COMPLETED', '', context);

describe('jobs of closed missions', () => {
  it('are not cancelled when they have ended, although the read model skipped the event', async () => {
    const { commands, log } = node.services;
    const jobId = await node.newJob(taskId);
    // Without a result: no read model can fold it.
    const end = newEvent({ type: 'JobCompleted', data: { jobId, taskId, missionId, worker: 'w', attempt: 1 } });
    await log.append(`job-${jobId}`, [end], 'exists');
    await vi.waitFor(async () => expect(await state()).toBe('HALTED'), PATIENCE);
    await node.gql('mutation { resumeProjection(name: "missions", skip: true) { __typename } }');

    const cancelling = vi.spyOn(commands, 'cancelJob');
    await close();
    await vi.waitFor(() => expect(cancelling).toHaveBeenCalled(), PATIENCE);
    expect(await cancelling.mock.results[0]?.value).toMatchObject({ problem: { code: 'JOB_FINISHED' } });
    await node.halt();
  });

  it('do not prevent a node from stopping while the read model makes no progress', async () => {
    const { log, missions } = node.services;
    const jobId = await node.newJob(taskId);
    const reaches = missions.reaches.bind(missions);
    const waiting = vi
      .spyOn(missions, 'reaches')
      .mockImplementation((_position, _timeoutMs, signal) => reaches(1_000_000n, 600_000, signal));
    await close();
    await vi.waitFor(async () => {
      const types = (await node.eventsOf(`job-${jobId}`)).map(({ type }) => type);
      expect(types).toEqual(['JobCreated', 'JobCancelled']);
    }, PATIENCE);
    const head = await log.head();
    await vi.waitFor(
      () => expect(waiting).toHaveBeenLastCalledWith(head, expect.any(Number), expect.any(AbortSignal)),
      PATIENCE,
    );
    await node.halt();
  });
});

describe('leases', () => {
  it('do not expire when their attempts have ended, although the read model shows a full batch as due', async () => {
    const { commands, log, missions, queue } = node.services;
    for (let i = 0; i < BATCH; i += 1) await commands.createJob({ taskId }, context);
    await missions.reaches(await log.head(), PATIENCE.timeout);
    const claim = await queue.claim({ worker: 'w', limit: BATCH, leaseSeconds: 60 }, context);
    if (!claim.done) throw new Error('nothing was claimed');
    const answers = claim.jobs.map(({ job: { jobId } }) => ({ jobId, worker: 'w', attempt: 1 }));
    await Promise.all(answers.map((answer) => commands.completeJob(answer, null, undefined, context)));
    await missions.reaches(await log.head(), PATIENCE.timeout);

    const expiring = vi.spyOn(commands, 'expireLease');
    const { missions: file } = corePaths(node.folder);
    await tamper(file, "UPDATE jobs SET status = 'DISPATCHED', lease_expires_at = '2026-01-01T00:00:00.000Z'");
    await vi.waitFor(() => expect(expiring.mock.calls.length).toBeGreaterThanOrEqual(BATCH), PATIENCE);
    await node.halt();
  });
});
