import { describe, expect, it } from 'vitest';
import {
  DEFAULT_MAX_ATTEMPTS,
  job,
  LEASE_EXPIRED,
  statusAfterFailure,
  type Job,
  type JobCommand,
  type JobFact,
} from '../../src/domain/job.js';
import type { MissionState } from '../../src/domain/mission.js';
import type { Problem } from '../../src/domain/problem.js';
import type { TaskState } from '../../src/domain/task.js';
import { at, Subject } from './support.js';

const subject = new Subject(job, (fact, metadata) => ({ ...fact, metadata }));
const given = subject.given.bind(subject);
const state = subject.state.bind(subject);

type CommandOf<Type extends JobCommand['type']> = Extract<JobCommand, { type: Type }>;

const REF = { jobId: 'j1', taskId: 't1', missionId: 'm1' };
const FIELDS = { kind: 'render', payload: { scene: 7 }, priority: 5, maxAttempts: 2 };
const MISSION: MissionState = {
  status: 'OPEN',
  missionId: 'm1',
  title: 'Ridge',
  description: '',
  metadata: {},
  tags: [],
  closedReason: null,
  createdAt: at(0),
  updatedAt: at(0),
};
const TASK: TaskState = {
  status: 'PRESENT',
  taskId: 't1',
  missionId: 'm1',
  name: 'Map',
  description: '',
  kind: 'survey',
  params: {},
  createdAt: at(0),
  updatedAt: at(0),
};

const CREATED: JobFact = { type: 'JobCreated', data: { ...REF, ...FIELDS } };
const dispatched = (attempt: number, worker = 'w1'): JobFact => ({
  type: 'JobDispatched',
  data: { ...REF, worker, attempt, leaseExpiresAt: at(30) },
});
const completed = (attempt: number): JobFact => ({
  type: 'JobCompleted',
  data: { ...REF, worker: 'w1', attempt, result: { frames: 3 }, cost: 0.25 },
});
const failed = (attempt: number, retryable = true): JobFact => ({
  type: 'JobFailed',
  data: { ...REF, attempt, reason: 'OOM', message: 'out of memory', retryable },
});
const CANCELLED: JobFact = { type: 'JobCancelled', data: { ...REF, reason: 'not needed' } };

/** A history for each status a job can have. */
const HISTORY = {
  PENDING: [CREATED],
  DISPATCHED: [CREATED, dispatched(1)],
  COMPLETED: [CREATED, dispatched(1), completed(1)],
  FAILED: [CREATED, dispatched(1), failed(1, false)],
  CANCELLED: [CREATED, dispatched(1), CANCELLED],
} as const satisfies Record<Job['status'], readonly JobFact[]>;
const FINISHED = ['COMPLETED', 'FAILED', 'CANCELLED'] as const;

const create = (changes: Partial<CommandOf<'CreateJob'>> = {}): JobCommand => ({
  type: 'CreateJob',
  jobId: 'j1',
  taskId: 't1',
  task: TASK,
  mission: MISSION,
  ...FIELDS,
  ...changes,
});
const dispatch = (changes: Partial<CommandOf<'DispatchJob'>> = {}): JobCommand => ({
  type: 'DispatchJob',
  jobId: 'j1',
  worker: 'w1',
  leaseSeconds: 60,
  at: at(1),
  ...changes,
});
const complete = (changes: Partial<CommandOf<'CompleteJob'>> = {}): JobCommand => ({
  type: 'CompleteJob',
  jobId: 'j1',
  worker: 'w1',
  attempt: 1,
  result: { frames: 3 },
  ...changes,
});
const fail = (changes: Partial<CommandOf<'FailJob'>> = {}): JobCommand => ({
  type: 'FailJob',
  jobId: 'j1',
  worker: 'w1',
  attempt: 1,
  reason: 'OOM',
  message: 'out of memory',
  retryable: true,
  ...changes,
});
const expire = (changes: Partial<CommandOf<'ExpireLease'>> = {}): JobCommand => ({
  type: 'ExpireLease',
  jobId: 'j1',
  attempt: 1,
  at: at(30),
  ...changes,
});
const cancel = (reason = 'not needed'): JobCommand => ({ type: 'CancelJob', jobId: 'j1', reason });

const NO_JOB: Problem = { code: 'NOT_FOUND', message: "There is no job 'j1'.", entity: 'Job', id: 'j1' };
const jobFinished = (status: string): Problem => ({
  code: 'JOB_FINISHED',
  message: `Job 'j1' is already ${status} and cannot change.`,
  jobId: 'j1',
  status,
});
const stale = (worker: string, attempt: number, currentAttempt: number, now: string): Problem => ({
  code: 'STALE_ATTEMPT',
  message: `Worker '${worker}' does not hold attempt ${attempt} of job 'j1': ${now}. Drop this result and claim again.`,
  jobId: 'j1',
  attempt,
  currentAttempt,
});
/** A payload with an exact number of bytes of JSON. */
const payloadOf = (bytes: number) => ({ blob: 'x'.repeat(bytes - '{"blob":""}'.length) });

describe('creating a job', () => {
  it('records the job with its task and the mission of that task', () => {
    given().when(create()).thenFacts(CREATED);
  });

  it('refuses an id that is taken', () => {
    given(CREATED)
      .when(create())
      .thenProblem({ code: 'ALREADY_EXISTS', message: "Job 'j1' already exists.", entity: 'Job', id: 'j1' });
  });

  it('refuses a task that does not exist', () => {
    given()
      .when(create({ task: { status: 'ABSENT' } }))
      .thenProblem({ code: 'NOT_FOUND', message: "There is no task 't1'.", entity: 'Task', id: 't1' });
  });

  it('refuses a mission that does not exist', () => {
    given()
      .when(create({ mission: { status: 'ABSENT' } }))
      .thenProblem({ code: 'NOT_FOUND', message: "There is no mission 'm1'.", entity: 'Mission', id: 'm1' });
  });

  it('refuses a closed mission', () => {
    given()
      .when(create({ mission: { ...MISSION, status: 'FAILED', closedReason: 'storm' } }))
      .thenProblem({
        code: 'MISSION_CLOSED',
        message: "Mission 'm1' is closed (FAILED) and accepts no more changes, tasks or jobs.",
        missionId: 'm1',
      });
  });

  it.each<[string, Partial<CommandOf<'CreateJob'>>]>([
    ['a kind of 64 characters', { kind: 'x'.repeat(64) }],
    ['a payload of 256 KiB', { payload: payloadOf(262_144) }],
    ['an empty payload', { payload: {} }],
    ['a priority of −1,000', { priority: -1_000 }],
    ['a priority of 1,000', { priority: 1_000 }],
    ['1 attempt', { maxAttempts: 1 }],
    ['100 attempts', { maxAttempts: 100 }],
  ])('accepts %s', (_, changes) => {
    given()
      .when(create(changes))
      .thenFacts({ type: 'JobCreated', data: { ...REF, ...FIELDS, ...changes } });
  });

  it.each<[string, Partial<CommandOf<'CreateJob'>>, string]>([
    ['an id that cannot be one', { jobId: ':j' }, 'id'],
    ['a task id that cannot be one', { taskId: 't t' }, 'taskId'],
    ['an empty kind', { kind: '' }, 'kind'],
    ['a kind of 65 characters', { kind: 'x'.repeat(65) }, 'kind'],
    ['a payload of 256 KiB and a byte', { payload: payloadOf(262_145) }, 'payload'],
    ['a priority of −1,001', { priority: -1_001 }, 'priority'],
    ['a priority of 1,001', { priority: 1_001 }, 'priority'],
    ['a priority that is not whole', { priority: 0.5 }, 'priority'],
    ['0 attempts', { maxAttempts: 0 }, 'maxAttempts'],
    ['101 attempts', { maxAttempts: 101 }, 'maxAttempts'],
  ])('refuses %s', (_, changes, path) => {
    given().when(create(changes)).thenInvalid(path);
  });

  it('reports everything that is wrong in one problem', () => {
    given()
      .when(create({ jobId: '', taskId: '', kind: '', payload: { n: NaN }, priority: NaN, maxAttempts: 0 }))
      .thenInvalid('id', 'taskId', 'kind', 'payload', 'priority', 'maxAttempts');
  });

  it('gives 3 attempts by default', () => {
    expect(DEFAULT_MAX_ATTEMPTS).toBe(3);
  });
});

describe('dispatching a job', () => {
  it('records attempt 1 with a lease from the time of the command', () => {
    given(CREATED)
      .when(dispatch({ worker: 'w1', leaseSeconds: 90, at: '2031-05-01T12:00:00.250Z' }))
      .thenFacts({
        type: 'JobDispatched',
        data: { ...REF, worker: 'w1', attempt: 1, leaseExpiresAt: '2031-05-01T12:01:30.250Z' },
      });
  });

  it('records attempt 2 after a retryable failure, to another worker too', () => {
    given(CREATED, dispatched(1), failed(1))
      .when(dispatch({ worker: 'w2' }))
      .thenFacts({ type: 'JobDispatched', data: { ...REF, worker: 'w2', attempt: 2, leaseExpiresAt: at(2) } });
  });

  it('refuses a job that does not exist', () => {
    given().when(dispatch()).thenProblem(NO_JOB);
  });

  it.each(['DISPATCHED', ...FINISHED] as const)('refuses a job that is %s', (status) => {
    given(...HISTORY[status])
      .when(dispatch())
      .thenProblem({
        code: 'JOB_NOT_PENDING',
        message: `Job 'j1' is ${status}; only a PENDING job can be dispatched.`,
        jobId: 'j1',
        status,
      });
  });

  it.each([1, 86_400])('accepts a lease of %i s', (leaseSeconds) => {
    const leaseExpiresAt = new Date(Date.parse(at(1)) + leaseSeconds * 1_000).toISOString();
    given(CREATED)
      .when(dispatch({ leaseSeconds }))
      .thenFacts({ type: 'JobDispatched', data: { ...REF, worker: 'w1', attempt: 1, leaseExpiresAt } });
  });

  it.each([0, 86_401, 1.5, NaN])('refuses a lease of %d s', (leaseSeconds) => {
    given(CREATED).when(dispatch({ leaseSeconds })).thenInvalid('leaseSeconds');
  });

  it('accepts a worker of 128 characters', () => {
    const worker = 'w'.repeat(128);
    given(CREATED)
      .when(dispatch({ worker }))
      .thenFacts({ type: 'JobDispatched', data: { ...REF, worker, attempt: 1, leaseExpiresAt: at(2) } });
  });

  it('refuses a worker of 129 characters', () => {
    given(CREATED)
      .when(dispatch({ worker: 'w'.repeat(129) }))
      .thenInvalid('worker');
  });

  it('refuses a worker without a name, and an id that cannot be one', () => {
    given(CREATED)
      .when(dispatch({ worker: ' ', jobId: '' }))
      .thenInvalid('id', 'worker');
  });
});

describe('completing a job', () => {
  it('records the result of the current attempt', () => {
    given(...HISTORY.DISPATCHED)
      .when(complete())
      .thenFacts({ type: 'JobCompleted', data: { ...REF, worker: 'w1', attempt: 1, result: { frames: 3 } } });
  });

  it.each([0, 12.5])('records a cost of %d', (cost) => {
    given(...HISTORY.DISPATCHED)
      .when(complete({ cost, result: null }))
      .thenFacts({ type: 'JobCompleted', data: { ...REF, worker: 'w1', attempt: 1, result: null, cost } });
  });

  it('accepts the answer of a later attempt', () => {
    given(CREATED, dispatched(1), failed(1), dispatched(2, 'w2'))
      .when(complete({ worker: 'w2', attempt: 2 }))
      .thenFacts({ type: 'JobCompleted', data: { ...REF, worker: 'w2', attempt: 2, result: { frames: 3 } } });
  });

  it.each([-0.01, NaN, Infinity])('refuses a cost of %d', (cost) => {
    given(...HISTORY.DISPATCHED)
      .when(complete({ cost }))
      .thenInvalid('cost');
  });

  it('accepts a result of 256 KiB', () => {
    const result = payloadOf(262_144);
    given(...HISTORY.DISPATCHED)
      .when(complete({ result }))
      .thenFacts({ type: 'JobCompleted', data: { ...REF, worker: 'w1', attempt: 1, result } });
  });

  it('refuses a result of 256 KiB and a byte', () => {
    given(...HISTORY.DISPATCHED)
      .when(complete({ result: payloadOf(262_145) }))
      .thenInvalid('result');
  });

  it('refuses a blank or too long worker, and an id that cannot be one', () => {
    given(...HISTORY.DISPATCHED)
      .when(complete({ worker: '', jobId: 'j 1' }))
      .thenInvalid('id', 'worker');
    given(...HISTORY.DISPATCHED)
      .when(complete({ worker: 'w'.repeat(129) }))
      .thenInvalid('worker');
  });
});

describe('failing a job', () => {
  it.each([true, false])('records the failure of the current attempt (retryable: %s)', (retryable) => {
    given(...HISTORY.DISPATCHED)
      .when(fail({ retryable }))
      .thenFacts(failed(1, retryable));
  });

  it.each<[string, Partial<CommandOf<'FailJob'>>]>([
    ['a reason of 1,000 characters', { reason: 'x'.repeat(1_000) }],
    ['an empty message', { message: '' }],
    ['a message of 10,000 characters', { message: 'x'.repeat(10_000) }],
  ])('accepts %s', (_, changes) => {
    const { reason = 'OOM', message = 'out of memory' } = changes;
    given(...HISTORY.DISPATCHED)
      .when(fail(changes))
      .thenFacts({ type: 'JobFailed', data: { ...REF, attempt: 1, reason, message, retryable: true } });
  });

  it.each<[string, Partial<CommandOf<'FailJob'>>, string]>([
    ['an id that cannot be one', { jobId: '' }, 'id'],
    ['a blank worker', { worker: '' }, 'worker'],
    ['a worker of 129 characters', { worker: 'w'.repeat(129) }, 'worker'],
    ['a blank reason', { reason: ' ' }, 'reason'],
    ['a reason of 1,001 characters', { reason: 'x'.repeat(1_001) }, 'reason'],
    ['a message of 10,001 characters', { message: 'x'.repeat(10_001) }, 'message'],
  ])('refuses %s', (_, changes, path) => {
    given(...HISTORY.DISPATCHED)
      .when(fail(changes))
      .thenInvalid(path);
  });
});

describe.each([
  ['completing', complete],
  ['failing', fail],
] as const)('%s a job one does not hold', (_, answer) => {
  it('refuses a job that does not exist', () => {
    given().when(answer()).thenProblem(NO_JOB);
  });

  it('refuses another worker than the one that holds the attempt', () => {
    given(...HISTORY.DISPATCHED)
      .when(answer({ worker: 'w2' }))
      .thenProblem(stale('w2', 1, 1, "attempt 1 is held by 'w1'"));
  });

  it('refuses an answer from an earlier attempt of the same worker', () => {
    given(CREATED, dispatched(1), failed(1), dispatched(2))
      .when(answer({ attempt: 1 }))
      .thenProblem(stale('w1', 1, 2, "attempt 2 is held by 'w1'"));
  });

  it('refuses an attempt that has not begun', () => {
    given(...HISTORY.DISPATCHED)
      .when(answer({ attempt: 2 }))
      .thenProblem(stale('w1', 2, 1, "attempt 1 is held by 'w1'"));
  });

  it('refuses an attempt that is not a number', () => {
    given(...HISTORY.DISPATCHED)
      .when(answer({ attempt: NaN }))
      .thenProblem(stale('w1', NaN, 1, "attempt 1 is held by 'w1'"));
  });

  it('refuses a job that was never dispatched', () => {
    given(CREATED)
      .when(answer())
      .thenProblem(stale('w1', 1, 0, 'it is PENDING'));
  });

  it('refuses an attempt that failed and went back to the queue', () => {
    given(CREATED, dispatched(1), failed(1))
      .when(answer())
      .thenProblem(stale('w1', 1, 1, 'it is PENDING'));
  });

  it.each(FINISHED)('reports to the worker of the last attempt that the job is %s', (status) => {
    given(...HISTORY[status])
      .when(answer())
      .thenProblem(jobFinished(status));
  });

  it.each(FINISHED)('refuses another worker of a job that is %s as stale', (status) => {
    given(...HISTORY[status])
      .when(answer({ worker: 'w2' }))
      .thenProblem(stale('w2', 1, 1, `it is ${status}`));
  });

  it.each(FINISHED)('refuses another attempt of a job that is %s as stale', (status) => {
    given(...HISTORY[status])
      .when(answer({ attempt: 2 }))
      .thenProblem(stale('w1', 2, 1, `it is ${status}`));
  });

  it('refuses as stale when it was cancelled in the queue', () => {
    given(CREATED, dispatched(1), failed(1), CANCELLED)
      .when(answer())
      .thenProblem(stale('w1', 1, 1, 'it is CANCELLED'));
  });
});

describe('expiring a lease', () => {
  const EXPIRED: JobFact = {
    type: 'JobFailed',
    data: {
      ...REF,
      attempt: 1,
      reason: 'LEASE_EXPIRED',
      message: "The lease of worker 'w1' ran out at 2031-05-01T12:30:00.000Z.",
      retryable: true,
    },
  };

  it('records a retryable failure at the moment the lease ends', () => {
    expect(LEASE_EXPIRED).toBe('LEASE_EXPIRED');
    given(...HISTORY.DISPATCHED)
      .when(expire())
      .thenFacts(EXPIRED);
  });

  it('records a retryable failure after that', () => {
    given(...HISTORY.DISPATCHED)
      .when(expire({ at: at(31) }))
      .thenFacts(EXPIRED);
  });

  it('records nothing a millisecond before', () => {
    given(...HISTORY.DISPATCHED)
      .when(expire({ at: '2031-05-01T12:29:59.999Z' }))
      .thenNothing();
  });

  it.each([0, 2])('records nothing when attempt %i is not the current one', (attempt) => {
    given(...HISTORY.DISPATCHED)
      .when(expire({ attempt }))
      .thenNothing();
  });

  it.each(['PENDING', ...FINISHED] as const)('records nothing when the job is %s', (status) => {
    given(...HISTORY[status])
      .when(expire({ attempt: status === 'PENDING' ? 0 : 1 }))
      .thenNothing();
  });

  it('refuses a job that does not exist', () => {
    given().when(expire()).thenProblem(NO_JOB);
  });

  it('refuses an id that cannot be one', () => {
    given()
      .when(expire({ jobId: '' }))
      .thenInvalid('id');
  });
});

describe('cancelling a job', () => {
  it.each(['PENDING', 'DISPATCHED'] as const)('records it for a job that is %s', (status) => {
    given(...HISTORY[status])
      .when(cancel())
      .thenFacts(CANCELLED);
  });

  it.each(FINISHED)('refuses a job that is %s', (status) => {
    given(...HISTORY[status])
      .when(cancel())
      .thenProblem(jobFinished(status));
  });

  it('refuses a job that does not exist', () => {
    given().when(cancel()).thenProblem(NO_JOB);
  });

  it.each([0, 1_000])('accepts a reason of %i characters', (length) => {
    const reason = 'x'.repeat(length);
    given(CREATED)
      .when(cancel(reason))
      .thenFacts({ type: 'JobCancelled', data: { ...REF, reason } });
  });

  it('refuses a reason of 1,001 characters, and an id that cannot be one', () => {
    given(CREATED)
      .when({ type: 'CancelJob', jobId: '', reason: 'x'.repeat(1_001) })
      .thenInvalid('id', 'reason');
  });
});

describe('the state of a job', () => {
  const IDLE = { attempt: 0, worker: null, leaseExpiresAt: null, result: null, cost: null, failure: null };
  const PENDING = { ...REF, ...FIELDS, ...IDLE, status: 'PENDING', createdAt: at(0), updatedAt: at(0) };
  const OOM = { reason: 'OOM', message: 'out of memory' };

  it('is absent before its creation', () => {
    expect(state()).toEqual({ status: 'ABSENT' });
  });

  it('is pending, without an attempt, once created', () => {
    expect(state(CREATED)).toStrictEqual(PENDING);
  });

  it('is dispatched with the worker, the attempt and the end of the lease', () => {
    expect(state(...HISTORY.DISPATCHED)).toStrictEqual({
      ...PENDING,
      status: 'DISPATCHED',
      worker: 'w1',
      attempt: 1,
      leaseExpiresAt: at(30),
      updatedAt: at(1),
    });
  });

  it('is completed with the result, the cost and the worker, and without a lease', () => {
    expect(state(...HISTORY.COMPLETED)).toStrictEqual({
      ...PENDING,
      status: 'COMPLETED',
      worker: 'w1',
      attempt: 1,
      result: { frames: 3 },
      cost: 0.25,
      updatedAt: at(2),
    });
  });

  it('has no cost when the worker reported none', () => {
    const free: JobFact = { type: 'JobCompleted', data: { ...REF, worker: 'w1', attempt: 1, result: 'ok' } };
    expect(state(CREATED, dispatched(1), free)).toMatchObject({ result: 'ok', cost: null });
  });

  it('is pending again, without a worker, after a retryable failure with attempts left', () => {
    expect(state(CREATED, dispatched(1), failed(1))).toStrictEqual({
      ...PENDING,
      attempt: 1,
      failure: OOM,
      updatedAt: at(2),
    });
  });

  it('is failed after a retryable failure of the last attempt', () => {
    expect(state(CREATED, dispatched(1), failed(1), dispatched(2, 'w2'), failed(2))).toStrictEqual({
      ...PENDING,
      status: 'FAILED',
      worker: 'w2',
      attempt: 2,
      failure: OOM,
      updatedAt: at(4),
    });
  });

  it('is failed immediately after a failure that is not retryable', () => {
    expect(state(...HISTORY.FAILED)).toStrictEqual({
      ...PENDING,
      status: 'FAILED',
      worker: 'w1',
      attempt: 1,
      failure: OOM,
      updatedAt: at(2),
    });
  });

  it('forgets an earlier failure when it completes', () => {
    expect(state(CREATED, dispatched(1), failed(1), dispatched(2), completed(2))).toMatchObject({
      status: 'COMPLETED',
      failure: null,
    });
  });

  it('is cancelled with the reason, and without a lease', () => {
    expect(state(...HISTORY.CANCELLED)).toStrictEqual({
      ...PENDING,
      status: 'CANCELLED',
      worker: 'w1',
      attempt: 1,
      failure: { reason: 'not needed', message: '' },
      updatedAt: at(2),
    });
  });

  it.each<JobFact>([dispatched(1), completed(1), failed(1), CANCELLED])(
    'stays absent through a $type before its creation',
    (fact) => {
      expect(state(fact)).toEqual({ status: 'ABSENT' });
    },
  );

  it('is not changed by a second creation', () => {
    const again: JobFact = { type: 'JobCreated', data: { ...REF, ...FIELDS, priority: 9 } };
    expect(state(...HISTORY.DISPATCHED, again)).toEqual(state(...HISTORY.DISPATCHED));
  });

  describe.each(FINISHED)('%s', (status) => {
    it.each<JobFact>([CREATED, dispatched(2), completed(1), failed(1), CANCELLED])(
      'is final through a later $type',
      (fact) => {
        expect(state(...HISTORY[status], fact)).toEqual(state(...HISTORY[status]));
      },
    );
  });
});

describe('the status after a failure', () => {
  it.each([
    ['PENDING', 1, 3, true],
    ['PENDING', 2, 3, true],
    ['FAILED', 3, 3, true],
    ['FAILED', 1, 1, true],
    ['FAILED', 1, 3, false],
  ] as const)('is %s after attempt %i of %i (retryable: %s)', (status, attempt, maxAttempts, retryable) => {
    expect(statusAfterFailure(attempt, maxAttempts, retryable)).toBe(status);
  });
});
