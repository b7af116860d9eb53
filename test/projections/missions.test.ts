import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../src/domain/event.js';
import type { JobFact, JobState } from '../../src/domain/job.js';
import type { MissionFact, MissionState } from '../../src/domain/mission.js';
import type { TaskFact, TaskState } from '../../src/domain/task.js';
import {
  claimKey,
  missions,
  type JobRow,
  type MissionRow,
  type MissionStatsRow,
  type TaskRow,
} from '../../src/projections/missions.js';
import { at } from '../domain/support.js';
import { cut, cuts, history, type History } from './histories.js';
import { foldBatches, foldMissions, placeOf, recorded, Recorder, type AnyFact } from './support.js';

const missionCreated: MissionFact = {
  type: 'MissionCreated',
  data: { missionId: 'm1', title: 'Ridge', description: 'Fix the mast', metadata: { grid: 7 }, tags: ['radio'] },
};
const missionClosed: MissionFact = {
  type: 'MissionClosed',
  data: { missionId: 'm1', outcome: 'COMPLETED', reason: 'done' },
};
const taskCreated: TaskFact = {
  type: 'TaskCreated',
  data: { taskId: 't1', missionId: 'm1', name: 'Map', description: 'North', kind: 'survey', params: { scale: 2 } },
};
const ref = { jobId: 'j1', taskId: 't1', missionId: 'm1' };
const jobCreated: JobFact = {
  type: 'JobCreated',
  data: { ...ref, kind: 'render', payload: { tile: 1 }, priority: 5, maxAttempts: 2 },
};
const dispatched = (attempt: number): JobFact => ({
  type: 'JobDispatched',
  data: { ...ref, worker: 'w1', attempt, leaseExpiresAt: at(90) },
});
const completed: JobFact = {
  type: 'JobCompleted',
  data: { ...ref, worker: 'w1', attempt: 1, result: { ok: true }, cost: 2.5 },
};
const failed = (attempt: number, retryable: boolean): JobFact => ({
  type: 'JobFailed',
  data: { ...ref, attempt, reason: 'OOM', message: 'out of memory', retryable },
});
const cancelled: JobFact = { type: 'JobCancelled', data: { ...ref, reason: 'obsolete' } };

const ridge: MissionRow = {
  id: 'm1',
  title: 'Ridge',
  description: 'Fix the mast',
  metadata: '{"grid":7}',
  tags: '["radio"]',
  status: 'OPEN',
  closed_reason: null,
  created_at: at(0),
  updated_at: at(0),
  revision: 0,
  position: placeOf(0),
};
const map: TaskRow = {
  id: 't1',
  mission_id: 'm1',
  name: 'Map',
  description: 'North',
  kind: 'survey',
  params: '{"scale":2}',
  created_at: at(1),
  updated_at: at(1),
  revision: 0,
  position: placeOf(1),
};
const render: JobRow = {
  id: 'j1',
  task_id: 't1',
  mission_id: 'm1',
  kind: 'render',
  payload: '{"tile":1}',
  priority: 5,
  max_attempts: 2,
  created_at: at(2),
  status: 'PENDING',
  attempt: 0,
  worker: null,
  lease_expires_at: null,
  result: 'null',
  cost: null,
  failure_reason: null,
  failure_message: null,
  claim_key: null,
  claim_hash: null,
  updated_at: at(2),
  revision: 0,
  position: placeOf(2),
};
const noStats: MissionStatsRow = {
  mission_id: 'm1',
  closed: 0,
  tasks: 0,
  pending: 0,
  dispatched: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
};
const oneTask = { ...noStats, tasks: 1 };

/** The columns that the n-th event, the `revision`-th of its stream, sets on its row. */
const touched = (n: number, revision: number) => ({ updated_at: at(n), revision, position: placeOf(n) });

const given = (...facts: readonly AnyFact[]) => foldMissions(recorded(...facts));
const givenJob = (...facts: readonly JobFact[]) => given(missionCreated, taskCreated, jobCreated, ...facts);

describe('a mission', () => {
  it('has a row and empty counts once it is created', async () => {
    const rows = await given(missionCreated);
    expect(rows).toEqual({ missions: [ridge], tasks: [], jobs: [], mission_stats: [noStats] });
  });

  it('changes in the fields that an update names', async () => {
    const title: MissionFact = { type: 'MissionUpdated', data: { missionId: 'm1', title: 'Valley' } };
    const rest: MissionFact = {
      type: 'MissionUpdated',
      data: { missionId: 'm1', description: '', metadata: {}, tags: [] },
    };
    expect((await given(missionCreated, title)).missions).toEqual([{ ...ridge, title: 'Valley', ...touched(1, 1) }]);
    expect((await given(missionCreated, title, rest)).missions).toEqual([
      { ...ridge, title: 'Valley', description: '', metadata: '{}', tags: '[]', ...touched(2, 2) },
    ]);
  });

  it('takes its outcome and the reason when it is closed, and is counted as closed', async () => {
    const rows = await given(missionCreated, missionClosed);
    expect(rows.missions).toEqual([{ ...ridge, status: 'COMPLETED', closed_reason: 'done', ...touched(1, 1) }]);
    expect(rows.mission_stats).toEqual([{ ...noStats, closed: 1 }]);
  });

  it('is not changed by events of its tasks and jobs', async () => {
    expect((await givenJob(dispatched(1), completed)).missions).toEqual([ridge]);
  });

  it('written by the prototype, without description, metadata and tags, has empty ones', async () => {
    const [event] = recorded({ type: 'MissionCreated', data: { missionId: 'm1', title: 'Old' } } as unknown as AnyFact);
    const old = { ...event!, metadata: { ...event!.metadata, schemaVersion: 0 } };
    expect((await foldMissions([old])).missions).toEqual([
      { ...ridge, title: 'Old', description: '', metadata: '{}', tags: '[]' },
    ]);
  });
});

describe('a task', () => {
  it('has a row once it is created, and its mission counts it', async () => {
    const rows = await given(missionCreated, taskCreated);
    expect(rows.tasks).toEqual([map]);
    expect(rows.mission_stats).toEqual([oneTask]);
  });

  it('changes in the fields that an update names', async () => {
    const name: TaskFact = { type: 'TaskUpdated', data: { taskId: 't1', missionId: 'm1', name: 'Chart' } };
    const rest: TaskFact = {
      type: 'TaskUpdated',
      data: { taskId: 't1', missionId: 'm1', description: '', kind: 'print', params: {} },
    };
    expect((await given(missionCreated, taskCreated, name)).tasks).toEqual([
      { ...map, name: 'Chart', ...touched(2, 1) },
    ]);
    const { tasks, mission_stats } = await given(missionCreated, taskCreated, name, rest);
    expect(tasks).toEqual([{ ...map, name: 'Chart', description: '', kind: 'print', params: '{}', ...touched(3, 2) }]);
    expect(mission_stats).toEqual([oneTask]);
  });
});

describe('a job', () => {
  const held = { status: 'DISPATCHED', attempt: 1, worker: 'w1', lease_expires_at: at(90) };
  const failure = { failure_reason: 'OOM', failure_message: 'out of memory' };

  it('is pending once it is created', async () => {
    const rows = await givenJob();
    expect(rows.jobs).toEqual([render]);
    expect(rows.mission_stats).toEqual([{ ...oneTask, pending: 1 }]);
  });

  it('has worker, attempt and lease while dispatched', async () => {
    const rows = await givenJob(dispatched(1));
    expect(rows.jobs).toEqual([{ ...render, ...held, ...touched(3, 1) }]);
    expect(rows.mission_stats).toEqual([{ ...oneTask, dispatched: 1 }]);
  });

  it('has result and cost, and no lease, once completed', async () => {
    const rows = await givenJob(dispatched(1), completed);
    expect(rows.jobs).toEqual([
      {
        ...render,
        ...held,
        status: 'COMPLETED',
        lease_expires_at: null,
        result: '{"ok":true}',
        cost: 2.5,
        ...touched(4, 2),
      },
    ]);
    expect(rows.mission_stats).toEqual([{ ...oneTask, completed: 1 }]);
  });

  it('has no cost when none was reported', async () => {
    const free: JobFact = { type: 'JobCompleted', data: { ...ref, worker: 'w1', attempt: 1, result: null } };
    expect((await givenJob(dispatched(1), free)).jobs).toMatchObject([{ result: 'null', cost: null }]);
  });

  it('is pending again, without a worker, after a retryable failure while attempts remain', async () => {
    const rows = await givenJob(dispatched(1), failed(1, true));
    expect(rows.jobs).toEqual([{ ...render, attempt: 1, ...failure, ...touched(4, 2) }]);
    expect(rows.mission_stats).toEqual([{ ...oneTask, pending: 1 }]);
  });

  it('shows why the last attempt failed until it is completed', async () => {
    const again = await givenJob(dispatched(1), failed(1, true), dispatched(2));
    expect(again.jobs).toMatchObject([{ ...held, attempt: 2, ...failure }]);
    const done = await givenJob(dispatched(1), failed(1, true), dispatched(2), completed);
    expect(done.jobs).toMatchObject([{ status: 'COMPLETED', failure_reason: null, failure_message: null }]);
    expect(done.mission_stats).toEqual([{ ...oneTask, completed: 1 }]);
  });

  it.each([
    ['that cannot be retried', [dispatched(1), failed(1, false)], 1],
    ['of the last attempt', [dispatched(1), failed(1, true), dispatched(2), failed(2, true)], 2],
  ])('is failed after a failure %s', async (_, facts, attempt) => {
    const rows = await givenJob(...facts);
    expect(rows.jobs).toEqual([
      {
        ...render,
        ...held,
        status: 'FAILED',
        attempt,
        lease_expires_at: null,
        ...failure,
        ...touched(2 + facts.length, facts.length),
      },
    ]);
    expect(rows.mission_stats).toEqual([{ ...oneTask, failed: 1 }]);
  });

  it('has the reason and no lease once cancelled', async () => {
    const end = { status: 'CANCELLED', lease_expires_at: null, failure_reason: 'obsolete', failure_message: '' };
    const pending = await givenJob(cancelled);
    expect(pending.jobs).toEqual([{ ...render, ...end, ...touched(3, 1) }]);
    expect(pending.mission_stats).toEqual([{ ...oneTask, cancelled: 1 }]);
    const running = await givenJob(dispatched(1), cancelled);
    expect(running.jobs).toEqual([{ ...render, ...held, ...end, ...touched(4, 2) }]);
    expect(running.mission_stats).toEqual([{ ...oneTask, cancelled: 1 }]);
  });
});

describe('the claim of a job', () => {
  const idempotency = { key: 'k1', hash: 'h1' };
  const claimed = { claim_key: 'alice k1', claim_hash: 'h1' };
  const free = { claim_key: null, claim_hash: null };

  async function jobAfter(...facts: readonly JobFact[]): Promise<JobRow> {
    const recorder = new Recorder();
    for (const fact of [missionCreated, taskCreated, jobCreated]) recorder.record(fact);
    recorder.record(dispatched(1), { actor: 'alice', idempotency });
    for (const fact of facts) recorder.record(fact);
    const [job] = (await foldMissions(recorder.events)).jobs;
    return job!;
  }

  it('is named by the caller and its idempotency key', () => {
    expect(claimKey({ actor: 'alice', idempotency })).toEqual({ key: 'alice k1', hash: 'h1' });
    expect(claimKey({ actor: 'alice' })).toBeUndefined();
  });

  it('is stored from the dispatch on', async () => {
    expect(await jobAfter()).toMatchObject(claimed);
    expect(await jobAfter(completed)).toMatchObject(claimed);
    expect(await jobAfter(failed(1, false))).toMatchObject(claimed);
    expect(await jobAfter(cancelled)).toMatchObject(claimed);
  });

  it('is removed when the job returns to the queue, and is not that of the next claim', async () => {
    expect(await jobAfter(failed(1, true))).toMatchObject(free);
    expect(await jobAfter(failed(1, true), dispatched(2))).toMatchObject({ status: 'DISPATCHED', ...free });
  });
});

describe('an event that does not fit', () => {
  it('leaves a closed mission as it is, in its counts too', async () => {
    const later: MissionFact = { type: 'MissionUpdated', data: { missionId: 'm1', title: 'Valley' } };
    const again: MissionFact = { type: 'MissionClosed', data: { missionId: 'm1', outcome: 'FAILED', reason: '' } };
    expect(await given(missionCreated, missionClosed, later, again)).toEqual(
      await given(missionCreated, missionClosed),
    );
  });

  it.each<[string, readonly JobFact[]]>([
    ['completed', [dispatched(1), completed]],
    ['failed', [dispatched(1), failed(1, false)]],
    ['cancelled', [cancelled]],
  ])('leaves a %s job as it is, in the counts of its mission too', async (_, past) => {
    const end = await givenJob(...past);
    for (const misfit of [dispatched(2), completed, failed(1, true), cancelled]) {
      expect(await givenJob(...past, misfit)).toEqual(end);
    }
  });
});

describe('an event for a row that does not exist', () => {
  it.each<[string, AnyFact]>([
    ["mission 'm1'", { type: 'MissionUpdated', data: { missionId: 'm1', title: 'Valley' } }],
    ["mission 'm1'", missionClosed],
    ["task 't1'", { type: 'TaskUpdated', data: { taskId: 't1', missionId: 'm1', name: 'Chart' } }],
    ["job 'j1'", dispatched(1)],
    ["job 'j1'", completed],
    ["job 'j1'", failed(1, true)],
    ["job 'j1'", cancelled],
  ])('throws, naming %s', async (name, fact) => {
    await expect(given(fact)).rejects.toThrow(`the log changes ${name} before it creates it`);
  });
});

describe('the missions projection', () => {
  it('holds what the deciders hold, field by field, after any history', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (past) => {
        const rows = await foldMissions(past.events);
        const last = new Map(past.events.map((event) => [event.stream, event]));
        expect(rows.missions).toEqual(
          inKeyOrder(past.missions, (state, id) => missionRow(state, last.get(`mission-${id}`))),
        );
        expect(rows.tasks).toEqual(inKeyOrder(past.tasks, (state, id) => taskRow(state, last.get(`task-${id}`))));
        expect(rows.jobs.map(({ claim_key: _key, claim_hash: _hash, ...job }) => job)).toEqual(
          inKeyOrder(past.jobs, (state, id) => jobRow(state, last.get(`job-${id}`))),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('counts the existing rows, after any history', async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ events }) => {
        const { missions, tasks, jobs, mission_stats } = await foldMissions(events);
        const expected = missions.map(({ id, status }) => {
          const having = (wanted: string) =>
            jobs.filter((job) => job.mission_id === id && job.status === wanted).length;
          return {
            mission_id: id,
            closed: status === 'OPEN' ? 0 : 1,
            tasks: tasks.filter((task) => task.mission_id === id).length,
            pending: having('PENDING'),
            dispatched: having('DISPATCHED'),
            completed: having('COMPLETED'),
            failed: having('FAILED'),
            cancelled: having('CANCELLED'),
          };
        });
        expect(mission_stats).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps the claim of the last dispatch, unless the job returned to the queue after it', async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ events }) => {
        const { jobs } = await foldMissions(events);
        for (const { id, worker, claim_key, claim_hash } of jobs) {
          const dispatch = events.findLast(({ stream, type }) => stream === `job-${id}` && type === 'JobDispatched');
          const claim = dispatch === undefined || worker === null ? undefined : claimKey(dispatch.metadata);
          expect({ claim_key, claim_hash }).toEqual({ claim_key: claim?.key ?? null, claim_hash: claim?.hash ?? null });
        }
      }),
    );
  });

  it('results in the same rows for any division of the events into batches', async () => {
    await fc.assert(
      fc.asyncProperty(history, cuts, async ({ events }, sizes) => {
        const oneByOne = await foldBatches(
          missions,
          events.map((event) => [event]),
        );
        expect(await foldBatches(missions, cut(events, sizes))).toEqual(oneByOne);
        expect(await foldBatches(missions, [events])).toEqual(oneByOne);
      }),
    );
  });
});

function inKeyOrder<S, R>(states: ReadonlyMap<string, S>, row: (state: S, id: string) => R): R[] {
  return [...states].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, state]) => row(state, id));
}

function place(last: RecordedEvent | undefined) {
  return { revision: Number(last?.revision), position: last?.position };
}

function missionRow(state: MissionState, last: RecordedEvent | undefined) {
  if (state.status === 'ABSENT') throw new Error('no history leaves an absent mission');
  return {
    id: state.missionId,
    title: state.title,
    description: state.description,
    metadata: JSON.stringify(state.metadata),
    tags: JSON.stringify(state.tags),
    status: state.status,
    closed_reason: state.closedReason,
    created_at: state.createdAt,
    updated_at: state.updatedAt,
    ...place(last),
  };
}

function taskRow(state: TaskState, last: RecordedEvent | undefined) {
  if (state.status === 'ABSENT') throw new Error('no history leaves an absent task');
  return {
    id: state.taskId,
    mission_id: state.missionId,
    name: state.name,
    description: state.description,
    kind: state.kind,
    params: JSON.stringify(state.params),
    created_at: state.createdAt,
    updated_at: state.updatedAt,
    ...place(last),
  };
}

function jobRow(state: JobState, last: RecordedEvent | undefined) {
  if (state.status === 'ABSENT') throw new Error('no history leaves an absent job');
  return {
    id: state.jobId,
    task_id: state.taskId,
    mission_id: state.missionId,
    kind: state.kind,
    payload: JSON.stringify(state.payload),
    priority: state.priority,
    max_attempts: state.maxAttempts,
    created_at: state.createdAt,
    status: state.status,
    attempt: state.attempt,
    worker: state.worker,
    lease_expires_at: state.leaseExpiresAt,
    result: JSON.stringify(state.result),
    cost: state.cost,
    failure_reason: state.failure?.reason ?? null,
    failure_message: state.failure?.message ?? null,
    updated_at: state.updatedAt,
    ...place(last),
  };
}

describe('a random history', () => {
  it('brings jobs to every status', () => {
    const found = new Set<string>();
    const collect = ({ jobs }: History) => {
      for (const { status } of jobs.values()) found.add(status);
    };
    fc.sample(history, { numRuns: 200, seed: 1 }).forEach(collect);
    expect([...found].sort()).toEqual(['CANCELLED', 'COMPLETED', 'DISPATCHED', 'FAILED', 'PENDING']);
  });
});
