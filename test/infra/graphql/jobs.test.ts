import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JOB } from '../../support/documents.js';
import { TestNode, type Untyped } from '../../support/node.js';

const QUERY = `query ($id: ID!, $at: Position) { job(id: $id, at: $at) { ${JOB} } }`;
const UNKNOWN = '01890000-0000-7000-8000-000000000000';
const worker = 'worker-1';

let node: TestNode;
let missionId: string;
let taskId: string;
beforeAll(async () => {
  node = await TestNode.start();
  missionId = await node.newMission();
  taskId = await node.newTask(missionId, { kind: 'survey' });
});
afterAll(() => node.stop());

const shown = async (id: string, at?: string) => (await node.gql(QUERY, { id, at })).job;
const streamOf = (id: string) => node.eventsOf(`job-${id}`);

/** Creates a job of its own kind, held by the worker. */
async function dispatched(input: object = {}): Promise<{ id: string; attempt: number }> {
  const kind = `kind-${crypto.randomUUID()}`;
  await node.newJob(taskId, { kind, ...input });
  const { jobs } = await node.mutate('claimJobs', { worker, kinds: [kind] });
  return { id: jobs[0].id, attempt: jobs[0].attempt };
}

describe('createJob', () => {
  it('answers with the job that a query then shows', async () => {
    const input = { taskId, kind: 'photo', payload: { x: [1, 'a', null] }, priority: -7, maxAttempts: 5 };
    const result = await node.mutate('createJob', input);
    expect(result).toMatchObject({ __typename: 'CreateJobPayload', durability: 'PROJECTED' });
    expect(result.job).toMatchObject({ ...input, missionId, status: 'PENDING', attempt: 0, revision: 0 });
    expect(result.job).toMatchObject({ worker: null, leaseExpiresAt: null, result: null, cost: null, failure: null });
    expect(result.job.position).toBe(result.position);
    expect(await shown(result.job.id)).toEqual(result.job);
  });

  it('uses defaults for fields that are null or left out', async () => {
    const nulls = { kind: null, payload: null, priority: null, maxAttempts: null };
    for (const input of [{}, nulls]) {
      const { job } = await node.mutate('createJob', { taskId, ...input });
      expect(job).toMatchObject({ kind: 'survey', payload: {}, priority: 0, maxAttempts: 3 });
    }
  });

  it('answers with the requested durability, or the highest that is available', async () => {
    const appended = await node.mutate('createJob', { taskId }, { consistency: 'APPENDED' });
    expect(appended.durability).toBe('APPENDED');
    expect(await shown(appended.job.id, appended.position)).toEqual(appended.job);
    expect((await node.mutate('createJob', { taskId }, { consistency: 'REPLICATED' })).durability).toBe('PROJECTED');
  });

  it('names every invalid field', async () => {
    const input = { kind: ' ', payload: { big: 'p'.repeat(256 * 1024) }, priority: 1_001, maxAttempts: 0 };
    const result = await node.mutate('createJob', { taskId, ...input });
    expect(result.__typename).toBe('InvalidInput');
    const paths = result.fields.map(({ path }: { path: string }): string => path);
    expect(paths).toEqual(['kind', 'payload', 'priority', 'maxAttempts']);
    const text = await node.mutate('createJob', { taskId, payload: 'text' });
    expect(text).toMatchObject({ __typename: 'InvalidInput', fields: [{ path: 'payload' }] });
  });

  it('requires a task that exists, of a mission that is open', async () => {
    const missing = await node.mutate('createJob', { taskId: UNKNOWN });
    expect(missing).toMatchObject({ __typename: 'NotFound', entity: 'Task', id: UNKNOWN });
    const owner = await node.newMission();
    const late = await node.newTask(owner);
    await node.mutate('closeMission', { id: owner, outcome: 'COMPLETED' });
    expect(await node.mutate('createJob', { taskId: late })).toMatchObject({
      __typename: 'MissionIsClosed',
      missionId: owner,
    });
  });

  it('creates one job per idempotency key', async () => {
    const input = { taskId, payload: { n: 1 }, idempotencyKey: 'job' };
    const results = await Promise.all(Array.from({ length: 20 }, () => node.mutate('createJob', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(results[0].job.id)).toHaveLength(1);
    const other = await node.mutate('createJob', { ...input, payload: { n: 2 } });
    expect(other).toMatchObject({ __typename: 'IdempotencyMismatch', key: 'job' });
  });
});

describe('completeJob', () => {
  it('ends a job with its result', async () => {
    const held = await dispatched();
    const result = await node.mutate('completeJob', { ...held, worker, result: { found: ['a', 1] }, cost: 1.25 });
    expect(result).toMatchObject({ __typename: 'CompleteJobPayload', durability: 'PROJECTED' });
    expect(result.job).toMatchObject({
      status: 'COMPLETED',
      worker,
      attempt: 1,
      result: { found: ['a', 1] },
      cost: 1.25,
    });
    expect(result.job).toMatchObject({ revision: 2, position: result.position, leaseExpiresAt: null });
    expect(await shown(held.id)).toEqual(result.job);
  });

  it.each([[null], ['text'], [0], [false], [[1, 2]], [{}]])('accepts any JSON as the result: %j', async (value) => {
    const held = await dispatched();
    const { job } = await node.mutate('completeJob', { ...held, worker, result: value });
    expect(job.result).toEqual(value);
    expect(await shown(held.id)).toEqual(job);
  });

  it('accepts a report without a result', async () => {
    const held = await dispatched();
    const { job } = await node.mutate('completeJob', { ...held, worker }, { consistency: 'APPENDED' });
    expect(job).toMatchObject({ status: 'COMPLETED', result: null, cost: null });
  });
});

describe('failJob', () => {
  it('makes a job PENDING again while attempts remain', async () => {
    const held = await dispatched({ maxAttempts: 2 });
    const failure = { reason: 'TIMEOUT', message: 'No answer' };
    const first = await node.mutate('failJob', { ...held, worker, ...failure });
    expect(first.job).toMatchObject({ status: 'PENDING', worker: null, attempt: 1, failure, revision: 2 });
    expect(await shown(held.id)).toEqual(first.job);
    const again = await node.mutate('claimJobs', { worker, kinds: [first.job.kind] });
    expect(again.jobs).toMatchObject([{ id: held.id, attempt: 2 }]);
    const last = await node.mutate('failJob', { id: held.id, attempt: 2, worker, ...failure });
    expect(last.job).toMatchObject({ status: 'FAILED', worker, attempt: 2, failure });
    expect(await shown(held.id)).toEqual(last.job);
    expect((await node.mutate('claimJobs', { worker, kinds: [first.job.kind] })).jobs).toEqual([]);
  });

  it('ends a job immediately when it is not retryable', async () => {
    const held = await dispatched();
    const { job } = await node.mutate('failJob', { ...held, worker, reason: 'IMPOSSIBLE', retryable: false });
    expect(job).toMatchObject({ status: 'FAILED', failure: { reason: 'IMPOSSIBLE', message: '' } });
    expect(await shown(held.id)).toEqual(job);
  });
});

describe('cancelJob', () => {
  it('cancels a job that is PENDING or DISPATCHED', async () => {
    const waiting = await node.newJob(taskId, { kind: 'never' });
    const { id } = await dispatched();
    for (const job of [waiting, id]) {
      const result = await node.mutate('cancelJob', { id: job, reason: 'Not needed' });
      expect(result).toMatchObject({ __typename: 'CancelJobPayload', durability: 'PROJECTED' });
      expect(result.job).toMatchObject({ status: 'CANCELLED', failure: { reason: 'Not needed', message: '' } });
      expect(await shown(job)).toEqual(result.job);
    }
  });

  it('returns each problem of its union', async () => {
    const id = await node.newJob(taskId);
    expect(await node.mutate('cancelJob', { id: UNKNOWN })).toMatchObject({ __typename: 'NotFound', entity: 'Job' });
    expect((await node.mutate('cancelJob', { id, expectedRevision: 9 })).__typename).toBe('ConcurrencyConflict');
    expect(await node.mutate('cancelJob', { id, reason: 'r'.repeat(1_001) })).toMatchObject({
      __typename: 'InvalidInput',
      fields: [{ path: 'reason' }],
    });
    const input = { id, idempotencyKey: 'cancel' };
    const results = await Promise.all(Array.from({ length: 10 }, () => node.mutate('cancelJob', input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(id)).toHaveLength(2);
    expect((await node.mutate('cancelJob', { ...input, reason: 'Other' })).__typename).toBe('IdempotencyMismatch');
    expect(await node.mutate('cancelJob', { id })).toMatchObject({
      __typename: 'JobIsFinished',
      jobId: id,
      status: 'CANCELLED',
    });
  });
});

describe.each([
  ['completeJob', {}, { result: { other: true } }],
  ['failJob', { reason: 'BROKEN', retryable: false }, { reason: 'OTHER' }],
] as const)('%s', (name, fields, different) => {
  it('refuses a worker that does not hold the attempt', async () => {
    const { id, attempt } = await dispatched();
    const stale = { __typename: 'StaleAttempt', code: 'STALE_ATTEMPT', jobId: id, currentAttempt: 1 };
    const answers: [object, object][] = [
      [{ worker: 'someone-else', attempt }, { attempt: 1 }],
      [{ worker, attempt: 0 }, { attempt: 0 }],
      [{ worker, attempt: 2 }, { attempt: 2 }],
    ];
    for (const [answer, problem] of answers) {
      expect(await node.mutate(name, { id, ...fields, ...answer })).toMatchObject({ ...stale, ...problem });
    }
    const waiting = await node.newJob(taskId);
    const early = await node.mutate(name, { id: waiting, ...fields, worker, attempt: 1 });
    expect(early).toMatchObject({ __typename: 'StaleAttempt', currentAttempt: 0 });
    expect(await streamOf(id)).toHaveLength(2);
  });

  it('returns a problem when the job has ended or is unknown', async () => {
    const held = await dispatched();
    await node.mutate(name, { ...held, worker, ...fields });
    const again = await node.mutate(name, { ...held, worker, ...fields });
    expect(again).toMatchObject({ __typename: 'JobIsFinished', code: 'JOB_FINISHED', jobId: held.id });
    const missing = await node.mutate(name, { id: UNKNOWN, worker, attempt: 1, ...fields });
    expect(missing).toMatchObject({ __typename: 'NotFound', entity: 'Job', id: UNKNOWN });
  });

  it('returns the same result for the same key, and refuses another input', async () => {
    const held = await dispatched();
    const input = { ...held, worker, ...fields, idempotencyKey: `${name}-keyed` };
    const results = await Promise.all(Array.from({ length: 10 }, () => node.mutate(name, input)));
    for (const result of results) expect(result).toEqual(results[0]);
    expect(await streamOf(held.id)).toHaveLength(3);
    expect(await shown(held.id)).toEqual(results[0].job);
    expect((await node.mutate(name, { ...input, ...different })).__typename).toBe('IdempotencyMismatch');
  });

  it('answers with the requested durability, or the highest that is available', async () => {
    for (const [consistency, reached] of [
      ['APPENDED', 'APPENDED'],
      ['REPLICATED', 'PROJECTED'],
    ] as const) {
      const held = await dispatched();
      const result = await node.mutate(name, { ...held, worker, ...fields }, { consistency });
      expect(result.durability).toBe(reached);
      expect(await shown(held.id, result.position)).toEqual(result.job);
    }
  });
});

it('names the invalid fields of a report', async () => {
  const held = await dispatched();
  const pathsOf = ({ fields }: Untyped): string[] => fields.map(({ path }: { path: string }) => path);
  const big = { big: 'r'.repeat(256 * 1024) };
  const completed = await node.mutate('completeJob', { ...held, worker: '', result: big, cost: -1 });
  expect(pathsOf(completed)).toEqual(['cost', 'worker', 'result']);
  const failed = await node.mutate('failJob', {
    ...held,
    worker: 'w'.repeat(129),
    reason: '',
    message: 'm'.repeat(10_001),
  });
  expect(pathsOf(failed)).toEqual(['worker', 'reason', 'message']);
});

it('accepts one of a concurrent completion, failure and cancellation, and refuses the others with a problem', async () => {
  for (let round = 0; round < 10; round += 1) {
    const held = await dispatched();
    const results = await Promise.all([
      node.mutate('completeJob', { ...held, worker }),
      node.mutate('failJob', { ...held, worker, reason: 'R', retryable: false }),
      node.mutate('cancelJob', { id: held.id }),
    ]);
    const names = results.map(({ __typename }): string => __typename);
    expect(names.filter((name) => name.endsWith('Payload')).length).toBe(1);
    expect(names.filter((name) => name === 'JobIsFinished').length).toBe(2);
    expect(await streamOf(held.id)).toHaveLength(3);
  }
});

it('logs no mistakes of clients', () => {
  expect(node.logged).toEqual([]);
});
