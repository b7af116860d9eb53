import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { JOB } from '../../support/documents.js';
import { TestNode, type Untyped } from '../../support/node.js';

/** How long the processes may take to do their work. */
const PATIENCE = { timeout: 15_000, interval: 50 };
const HOUR_MS = 3_600_000;

let node: TestNode;
let kind: string;
let missionId: string;
let taskId: string;
beforeAll(async () => {
  node = await TestNode.start();
});
beforeEach(async () => {
  // A kind for this test only, so that tests do not claim each other's jobs.
  kind = crypto.randomUUID();
  missionId = await node.newMission();
  taskId = await node.newTask(missionId, { kind });
});
afterAll(() => node.stop());

interface Held {
  readonly id: string;
  readonly attempt: number;
  readonly position: string;
}

async function claim(worker: string, input: object = {}): Promise<readonly Held[]> {
  return (await node.mutate('claimJobs', { worker, kinds: [kind], ...input })).jobs;
}

async function newJobs(count: number, input: object = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i += 1) ids.push(await node.newJob(taskId, input));
  return ids;
}

const shown = async (id: string): Promise<Untyped> =>
  (await node.gql(`query ($id: ID!) { job(id: $id) { ${JOB} } }`, { id })).job;
const idsOf = (jobs: readonly Held[]) => jobs.map(({ id }) => id);

describe('claimJobs', () => {
  it('gives each of 1,000 jobs to one of 20 workers that claim concurrently', async () => {
    const { commands } = node.services;
    for (let made = 0; made < 1_000; made += 50) {
      const context = { actor: 'test', correlationId: 'test' };
      await Promise.all(Array.from({ length: 50 }, () => commands.createJob({ taskId }, context)));
    }
    await node.services.missions.reaches(await node.services.log.head(), 20_000);
    const claimed = new Map<string, string>();
    const work = async (worker: string) => {
      for (let jobs = await claim(worker, { limit: 7 }); jobs.length > 0; jobs = await claim(worker, { limit: 7 })) {
        for (const { id, attempt } of jobs) {
          expect(claimed.get(id), `job ${id} is given to ${worker}`).toBeUndefined();
          expect(attempt).toBe(1);
          claimed.set(id, worker);
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, (_, i) => work(`worker-${i}`)));
    expect(claimed.size).toBe(1_000);
    expect(new Set(claimed.values()).size).toBe(20);
    const { mission } = await node.gql('query ($id: ID!) { mission(id: $id) { jobCounts { pending dispatched } } }', {
      id: missionId,
    });
    expect(mission.jobCounts).toEqual({ pending: 0, dispatched: 1_000 });
  });

  it('gives higher priorities first, and older jobs first within a priority', async () => {
    const [low] = await newJobs(1, { priority: -5 });
    const plain = await newJobs(3);
    const [high] = await newJobs(1, { priority: 5 });
    expect(idsOf(await claim('w', { limit: 3 }))).toEqual([high, plain[0], plain[1]]);
    expect(idsOf(await claim('w', { limit: 3 }))).toEqual([plain[2], low]);
    expect(await claim('w', { limit: 3 })).toEqual([]);
  });

  it('gives jobs of the requested kinds, or of any kind', async () => {
    const [a] = await newJobs(1, { kind: `${kind}-a` });
    const [b] = await newJobs(1, { kind: `${kind}-b`, priority: 1_000 });
    const [c] = await newJobs(1, { kind: `${kind}-c`, priority: 999 });
    expect(await claim('w')).toEqual([]);
    expect(idsOf(await claim('w', { limit: 9, kinds: [`${kind}-a`, `${kind}-b`] }))).toEqual([b, a]);
    expect(idsOf(await claim('w', { kinds: null }))).toEqual([c]);
  });

  it('answers with the jobs that a query then shows', async () => {
    await newJobs(2);
    const result = await node.mutate('claimJobs', { worker: 'w', kinds: [kind], limit: 5, leaseSeconds: 60 });
    expect(result).toMatchObject({ __typename: 'ClaimJobsPayload', durability: 'PROJECTED' });
    expect(result.jobs).toHaveLength(2);
    for (const job of result.jobs) {
      expect(job).toMatchObject({ status: 'DISPATCHED', worker: 'w', attempt: 1, revision: 1 });
      expect(Date.parse(job.leaseExpiresAt) - Date.parse(job.updatedAt)).toBe(60_000);
      expect(await shown(job.id)).toEqual(job);
    }
    expect(result.jobs.map(({ position }: Held): string => position)).toContain(result.position);
  });

  it('answers with the requested durability, or the highest that is available', async () => {
    await newJobs(2);
    const input = { worker: 'w', kinds: [kind] };
    expect((await node.mutate('claimJobs', input, { consistency: 'APPENDED' })).durability).toBe('APPENDED');
    expect((await node.mutate('claimJobs', input, { consistency: 'REPLICATED' })).durability).toBe('PROJECTED');
    const nothing = await node.mutate('claimJobs', input);
    expect(nothing).toMatchObject({ __typename: 'ClaimJobsPayload', jobs: [] });
  });

  it('names every invalid field', async () => {
    const claims: [object, string[]][] = [
      [{ limit: 0 }, ['limit']],
      [{ limit: 101 }, ['limit']],
      [{ leaseSeconds: 0 }, ['leaseSeconds']],
      [{ leaseSeconds: 86_401 }, ['leaseSeconds']],
      [{ kinds: [] }, ['kinds']],
      [{ kinds: Array.from({ length: 101 }, () => 'k') }, ['kinds']],
      [{ worker: '', kinds: ['ok', ''], limit: -1 }, ['worker', 'limit', 'kinds.1']],
      [{ idempotencyKey: '' }, ['idempotencyKey']],
    ];
    for (const [input, paths] of claims) {
      const result = await node.mutate('claimJobs', { worker: 'w', ...input });
      expect(result.__typename, JSON.stringify(input)).toBe('InvalidInput');
      expect(result.fields.map(({ path }: { path: string }): string => path)).toEqual(paths);
    }
  });

  it('takes a limit of 1 to 100', async () => {
    await newJobs(3);
    expect(await claim('w', { limit: 1 })).toHaveLength(1);
    expect(await claim('w', { limit: 100 })).toHaveLength(2);
  });
});

describe('claimJobs with an idempotency key', () => {
  it('answers with the same jobs again, and takes no others', async () => {
    await newJobs(5);
    const input = { worker: 'w', kinds: [kind], limit: 3, idempotencyKey: kind };
    const first = await node.mutate('claimJobs', input);
    expect(first.jobs).toHaveLength(3);
    expect(await node.mutate('claimJobs', input)).toEqual(first);
    expect(await claim('other', { limit: 10 })).toHaveLength(2);
    const mismatch = await node.mutate('claimJobs', { ...input, limit: 2 });
    expect(mismatch).toMatchObject({ __typename: 'IdempotencyMismatch', key: kind });
  });

  it('gives many concurrent requests the same jobs', async () => {
    await newJobs(10);
    const input = { worker: 'w', kinds: [kind], limit: 2, idempotencyKey: kind };
    const results = await Promise.all(Array.from({ length: 10 }, () => node.mutate('claimJobs', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await claim('other', { limit: 10 })).toHaveLength(8);
  });

  it('answers with the same jobs after a restart', async () => {
    await newJobs(2);
    const input = { worker: 'w', kinds: [kind], idempotencyKey: kind };
    const first = await node.mutate('claimJobs', input);
    await node.restart();
    const again = await node.mutate('claimJobs', input);
    expect(again.jobs).toEqual(first.jobs);
  });
});

describe('a lease that runs out', () => {
  it('makes the job PENDING again, and the late report of its worker is stale', async () => {
    const [id = ''] = await newJobs(1);
    const [held] = await claim('slow', { leaseSeconds: 3_600 });
    node.clock.advance(HOUR_MS);
    await vi.waitFor(async () => expect((await shown(id)).status).toBe('PENDING'), PATIENCE);
    expect(await shown(id)).toMatchObject({
      worker: null,
      leaseExpiresAt: null,
      attempt: 1,
      failure: { reason: 'LEASE_EXPIRED' },
    });
    const events = await node.eventsOf(`job-${id}`);
    expect(events.map(({ type }) => type)).toEqual(['JobCreated', 'JobDispatched', 'JobFailed']);
    expect(events[2]?.data).toMatchObject({ reason: 'LEASE_EXPIRED', attempt: 1, retryable: true });

    const late = { id, worker: 'slow', attempt: held?.attempt };
    expect(await node.mutate('completeJob', late)).toMatchObject({ __typename: 'StaleAttempt', currentAttempt: 1 });
    expect(await claim('quick')).toMatchObject([{ id, attempt: 2 }]);
    expect(await node.mutate('completeJob', late)).toMatchObject({ __typename: 'StaleAttempt', currentAttempt: 2 });
    const done = await node.mutate('completeJob', { id, worker: 'quick', attempt: 2 });
    expect(done.job).toMatchObject({ status: 'COMPLETED', worker: 'quick', failure: null });
  });

  it('ends the job when it was the last attempt', async () => {
    const [id = ''] = await newJobs(1, { maxAttempts: 2 });
    for (const attempt of [1, 2]) {
      await vi.waitFor(
        async () => expect(await claim('w', { leaseSeconds: 1 })).toMatchObject([{ id, attempt }]),
        PATIENCE,
      );
      node.clock.advance(1_000);
    }
    await vi.waitFor(async () => expect((await shown(id)).status).toBe('FAILED'), PATIENCE);
    expect(await shown(id)).toMatchObject({ attempt: 2, failure: { reason: 'LEASE_EXPIRED' } });
    expect(await claim('w')).toEqual([]);
    expect(await node.eventsOf(`job-${id}`)).toHaveLength(5);
  });

  it('does not affect the jobs of workers that reported in time', async () => {
    const [id = ''] = await newJobs(1);
    const [late = ''] = await newJobs(1);
    await claim('w', { leaseSeconds: 10, limit: 2 });
    await node.mutate('completeJob', { id, worker: 'w', attempt: 1 });
    node.clock.advance(HOUR_MS);
    await vi.waitFor(async () => expect((await shown(late)).status).toBe('PENDING'), PATIENCE);
    expect(await shown(id)).toMatchObject({ status: 'COMPLETED' });
  });
});

describe('a mission that is closed', () => {
  it('has its open jobs cancelled, and the reports of their workers refused', async () => {
    const [taken = '', done = ''] = await newJobs(2, { priority: 1 });
    const [waiting = ''] = await newJobs(1);
    await claim('w', { limit: 2 });
    await node.mutate('completeJob', { id: done, worker: 'w', attempt: 1 });
    await node.mutate('closeMission', { id: missionId, outcome: 'CANCELLED' });
    for (const id of [taken, waiting]) {
      await vi.waitFor(async () => expect((await shown(id)).status).toBe('CANCELLED'), PATIENCE);
      expect((await shown(id)).failure.reason).toBe('MISSION_CLOSED');
    }
    expect((await shown(done)).status).toBe('COMPLETED');
    expect(await claim('w')).toEqual([]);
    const late = await node.mutate('completeJob', { id: taken, worker: 'w', attempt: 1 });
    expect(late).toMatchObject({ __typename: 'JobIsFinished', status: 'CANCELLED' });
    expect((await node.mutate('createJob', { taskId })).__typename).toBe('MissionIsClosed');
    const { mission } = await node.gql(
      'query ($id: ID!) { mission(id: $id) { jobCounts { pending dispatched completed failed cancelled } } }',
      { id: missionId },
    );
    expect(mission.jobCounts).toEqual({ pending: 0, dispatched: 0, completed: 1, failed: 0, cancelled: 2 });
  });

  it('leaves no job open, although jobs are created while it closes', async () => {
    const making = Array.from({ length: 40 }, () => node.mutate('createJob', { taskId }, { consistency: 'APPENDED' }));
    const [closed, ...made] = await Promise.all([
      node.mutate('closeMission', { id: missionId, outcome: 'COMPLETED' }),
      ...making,
    ]);
    expect(closed.__typename).toBe('CloseMissionPayload');
    const ids = made.flatMap(({ job }): string[] => (job === undefined ? [] : [job.id]));
    for (const id of ids) await vi.waitFor(async () => expect((await shown(id)).status).toBe('CANCELLED'), PATIENCE);
  });
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
