import fc from 'fast-check';
import { JOB_STATUSES, type Job, type JobCommand, type JobFact, type JobState } from '../../src/domain/job.js';
import type { Json, JsonObject } from '../../src/domain/json.js';
import { OUTCOMES, type MissionCommand, type MissionFact, type MissionState } from '../../src/domain/mission.js';
import type { TaskCommand, TaskFact, TaskState } from '../../src/domain/task.js';
import { at } from './support.js';

/** Any JSON value. JSON text has no −0, so neither has this. */
export const jsonValue: fc.Arbitrary<Json> = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as Json);

const jsonObject: fc.Arbitrary<JsonObject> = fc.dictionary(fc.string({ maxLength: 4 }), jsonValue, {
  maxKeys: 3,
  noNullPrototype: true,
});

const codeUnit = fc.integer({ min: 0xd7f0, max: 0xe00f }).map((unit) => String.fromCharCode(unit));
/** Usually a valid value, sometimes one that breaks a rule. */
const mostly = <T>(good: fc.Arbitrary<T>, ...bad: readonly fc.Arbitrary<T>[]) =>
  fc.oneof({ weight: 9 * bad.length, arbitrary: good }, ...bad.map((arbitrary) => ({ weight: 1, arbitrary })));

const text = mostly(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
  fc.constantFrom('', ' ', 'x'.repeat(10_001)),
  fc.string({ unit: codeUnit, maxLength: 3 }),
);
const object = mostly(jsonObject, fc.constantFrom<JsonObject>({ n: NaN }, { '\ud800': 1 }, { a: ['\udfff'] }));
const value = mostly(jsonValue, fc.constantFrom<Json>(Infinity, ['\ud800'], 'x'.repeat(262_144)));
const tags = mostly(
  fc.uniqueArray(fc.string({ unit: 'grapheme-ascii', minLength: 1 }), { maxLength: 4 }),
  fc.constantFrom(
    ['a', 'a'],
    [' '],
    Array.from({ length: 33 }, (_, i) => `${i}`),
  ),
);
const id = (good: string) => mostly(fc.constant(good), fc.constantFrom('', 'a b', '-'));
const minutes = fc.integer({ min: 0, max: 90 });
const time = minutes.map(at);
const outcome = fc.constantFrom(...OUTCOMES);
const worker = mostly(fc.constantFrom('w1', 'w2', 'w3'), text);
const attempt = fc.integer({ min: 0, max: 4 });

const missionFields = { title: text, description: text, metadata: object, tags };
const taskFields = { name: text, description: text, kind: text, params: object };
const jobFields = {
  kind: text,
  payload: object,
  priority: fc.integer({ min: -1_001, max: 1_001 }),
  maxAttempts: fc.integer({ min: 0, max: 4 }),
};

const missionIds = { missionId: fc.constant('m1') };
const taskIds = { taskId: fc.constant('t1'), ...missionIds };
const jobIds = { jobId: fc.constant('j1'), ...taskIds };

const times = { createdAt: fc.constant(at(0)), updatedAt: time };
const absent = fc.constant({ status: 'ABSENT' } as const);
const status = fc.oneof({ weight: 4, arbitrary: fc.constant('OPEN' as const) }, outcome);

const missionState: fc.Arbitrary<MissionState> = fc.oneof(
  absent,
  fc.record({ status, ...missionIds, ...missionFields, closedReason: fc.option(text), ...times }),
);
const openMission: MissionState = {
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
const presentTask: TaskState = {
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
const mission = mostly(fc.constant(openMission), missionState);
const task = mostly<TaskState>(fc.constant(presentTask), absent);

export const missionCommand: fc.Arbitrary<MissionCommand> = fc.oneof(
  fc.record({ type: fc.constant('CreateMission' as const), missionId: id('m1'), ...missionFields }),
  fc.record({
    type: fc.constant('UpdateMission' as const),
    missionId: id('m1'),
    changes: fc.record(missionFields, { requiredKeys: [] }),
  }),
  fc.record({ type: fc.constant('CloseMission' as const), missionId: id('m1'), outcome, reason: text }),
);

export const taskCommand: fc.Arbitrary<TaskCommand> = fc.oneof(
  fc.record({
    type: fc.constant('CreateTask' as const),
    taskId: id('t1'),
    missionId: id('m1'),
    mission,
    ...taskFields,
  }),
  fc.record({
    type: fc.constant('UpdateTask' as const),
    taskId: id('t1'),
    mission,
    changes: fc.record(taskFields, { requiredKeys: [] }),
  }),
);

const createJob = fc.record({
  type: fc.constant('CreateJob' as const),
  jobId: id('j1'),
  taskId: id('t1'),
  task,
  mission,
  ...jobFields,
});
const dispatchJob = fc.record({
  type: fc.constant('DispatchJob' as const),
  jobId: id('j1'),
  worker,
  leaseSeconds: mostly(fc.integer({ min: 1, max: 600 }), fc.constantFrom(0, 0.5, 86_401)),
  at: time,
});
const cost = mostly(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), fc.constantFrom(-1, NaN, Infinity));
const completeJob = fc.record(
  { type: fc.constant('CompleteJob' as const), jobId: id('j1'), worker, attempt, result: value, cost },
  { requiredKeys: ['type', 'jobId', 'worker', 'attempt', 'result'] },
);
const failJob = fc.record({
  type: fc.constant('FailJob' as const),
  jobId: id('j1'),
  worker,
  attempt,
  reason: text,
  message: text,
  retryable: fc.boolean(),
});
const expireLease = fc.record({ type: fc.constant('ExpireLease' as const), jobId: id('j1'), attempt, at: time });
const cancelJob = fc.record({ type: fc.constant('CancelJob' as const), jobId: id('j1'), reason: text });

/** An answer that is valid, except that its worker or its attempt may be wrong. */
export const answer = fc.oneof(
  fc.record({
    type: fc.constant('CompleteJob' as const),
    jobId: fc.constant('j1'),
    worker: fc.constantFrom('w1', 'w2'),
    attempt,
    result: jsonValue,
  }),
  fc.record({
    type: fc.constant('FailJob' as const),
    jobId: fc.constant('j1'),
    worker: fc.constantFrom('w1', 'w2'),
    attempt,
    reason: fc.constant('OOM'),
    message: fc.constant(''),
    retryable: fc.boolean(),
  }),
);

/** A command to a job; one that is aimed gets the worker and the attempt that the job has then. */
type JobStep = { readonly command: JobCommand; readonly aimed: boolean };

export const jobStep: fc.Arbitrary<JobStep> = fc.record({
  command: fc.oneof(
    { weight: 2, arbitrary: createJob },
    { weight: 4, arbitrary: dispatchJob },
    { weight: 1, arbitrary: completeJob },
    { weight: 4, arbitrary: failJob },
    { weight: 2, arbitrary: expireLease },
    { weight: 1, arbitrary: cancelJob },
  ),
  aimed: fc.boolean(),
});

export function aim(state: JobState, { command, aimed }: JobStep): JobCommand {
  if (!aimed || state.status === 'ABSENT') return command;
  const { attempt } = state;
  switch (command.type) {
    case 'CompleteJob':
    case 'FailJob':
      return { ...command, attempt, worker: state.worker ?? command.worker };
    case 'ExpireLease':
      return { ...command, attempt };
    default:
      return command;
  }
}

export const missionCreated = fc.record({
  type: fc.constant('MissionCreated' as const),
  data: fc.record({ ...missionIds, ...missionFields }),
});
export const missionClosed = fc.record({
  type: fc.constant('MissionClosed' as const),
  data: fc.record({ ...missionIds, outcome, reason: text }),
});

/** Facts as they may be recorded; about half of them do not fit the state. */
export const missionFact: fc.Arbitrary<MissionFact> = fc.oneof(
  missionCreated,
  fc.record({
    type: fc.constant('MissionUpdated' as const),
    data: fc.record({ ...missionIds, ...missionFields }, { requiredKeys: ['missionId'] }),
  }),
  missionClosed,
);

export const taskFact: fc.Arbitrary<TaskFact> = fc.oneof(
  fc.record({ type: fc.constant('TaskCreated' as const), data: fc.record({ ...taskIds, ...taskFields }) }),
  fc.record({
    type: fc.constant('TaskUpdated' as const),
    data: fc.record({ ...taskIds, ...taskFields }, { requiredKeys: ['taskId', 'missionId'] }),
  }),
);

export const jobFact: fc.Arbitrary<JobFact> = fc.oneof(
  fc.record({ type: fc.constant('JobCreated' as const), data: fc.record({ ...jobIds, ...jobFields }) }),
  fc.record({
    type: fc.constant('JobDispatched' as const),
    data: fc.record({ ...jobIds, worker, attempt, leaseExpiresAt: time }),
  }),
  fc.record({
    type: fc.constant('JobCompleted' as const),
    data: fc.record(
      { ...jobIds, worker, attempt, result: value, cost },
      { requiredKeys: ['jobId', 'taskId', 'missionId', 'worker', 'attempt', 'result'] },
    ),
  }),
  fc.record({
    type: fc.constant('JobFailed' as const),
    data: fc.record({ ...jobIds, attempt, reason: text, message: text, retryable: fc.boolean() }),
  }),
  fc.record({ type: fc.constant('JobCancelled' as const), data: fc.record({ ...jobIds, reason: text }) }),
);

/** The commands that bring a job, after some retries, to a status. */
export function jobCommands(status: Job['status'], retries: number, fromQueue: boolean): readonly JobCommand[] {
  const ref = { jobId: 'j1', worker: 'w1' };
  const dispatch: JobCommand = { type: 'DispatchJob', ...ref, leaseSeconds: 60, at: at(1) };
  const fail = (attempt: number, retryable: boolean): JobCommand => ({
    type: 'FailJob',
    ...ref,
    attempt,
    reason: 'OOM',
    message: '',
    retryable,
  });
  const created: JobCommand = {
    type: 'CreateJob',
    jobId: 'j1',
    taskId: 't1',
    task: presentTask,
    mission: openMission,
    kind: 'render',
    payload: {},
    priority: 0,
    maxAttempts: retries + 1,
  };
  const retried = Array.from({ length: retries }, (_, i) => [dispatch, fail(i + 1, true)]).flat();
  const last = retries + 1;
  const cancel: JobCommand = { type: 'CancelJob', jobId: 'j1', reason: '' };
  const endings: Record<Job['status'], readonly JobCommand[]> = {
    PENDING: [],
    DISPATCHED: [dispatch],
    COMPLETED: [dispatch, { type: 'CompleteJob', ...ref, attempt: last, result: null }],
    FAILED: [dispatch, fail(last, !fromQueue)],
    CANCELLED: fromQueue ? [cancel] : [dispatch, cancel],
  };
  return [created, ...retried, ...endings[status]];
}

/** A way to bring a job to one of the statuses. */
export const jobWay = (...statuses: readonly Job['status'][]) =>
  fc.record({
    status: fc.constantFrom(...(statuses.length === 0 ? JOB_STATUSES : statuses)),
    retries: fc.integer({ min: 0, max: 3 }),
    fromQueue: fc.boolean(),
  });
