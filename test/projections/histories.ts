import fc from 'fast-check';
import type { Decider, Recorded } from '../../src/domain/decider.js';
import type { RecordedEvent } from '../../src/domain/event.js';
import { job, type JobCommand, type JobState } from '../../src/domain/job.js';
import type { JsonObject } from '../../src/domain/json.js';
import { mission, OUTCOMES, type MissionCommand, type MissionState } from '../../src/domain/mission.js';
import { task, type TaskCommand, type TaskState } from '../../src/domain/task.js';
import { at } from '../domain/support.js';
import { jsonValue } from '../domain/arbitraries.js';
import { Recorder, type AnyFact } from './support.js';

/** The result of random commands: the events, and the deciders' state of every aggregate after them. */
export interface History {
  readonly events: readonly RecordedEvent[];
  readonly missions: ReadonlyMap<string, MissionState>;
  readonly tasks: ReadonlyMap<string, TaskState>;
  readonly jobs: ReadonlyMap<string, JobState>;
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }).filter((value) => value.trim() !== ''),
  fc.constantFrom('a\u0000b', '"\\', "'; DROP TABLE jobs; --", 'a\u2028b', '🌕'),
);
const object: fc.Arbitrary<JsonObject> = fc.dictionary(fc.string({ maxLength: 4 }), jsonValue, {
  maxKeys: 2,
  noNullPrototype: true,
});
const missionFields = {
  title: text,
  description: fc.oneof(text, fc.constant('')),
  metadata: object,
  tags: fc.uniqueArray(text, { maxLength: 2 }),
};
const taskFields = { name: text, description: fc.oneof(text, fc.constant('')), kind: text, params: object };
const jobFields = {
  kind: text,
  payload: object,
  priority: fc.integer({ min: -1_000, max: 1_000 }),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
};

const missionId = fc.constantFrom('m1', 'm2', 'm3');
const taskId = fc.constantFrom('t1', 't2', 't3');
const jobId = fc.constantFrom('j1', 'j2', 'j3', 'j4', 'j5');
const worker = fc.constantFrom('w1', 'w2');
const idempotency = fc.option(fc.record({ key: text, hash: fc.constantFrom('h1', 'h2') }), { nil: undefined });

const step = fc.oneof(
  { weight: 2, arbitrary: fc.record({ type: fc.constant('CreateMission' as const), missionId, ...missionFields }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('UpdateMission' as const),
      missionId,
      changes: fc.record(missionFields, { requiredKeys: [] }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('CloseMission' as const),
      missionId,
      outcome: fc.constantFrom(...OUTCOMES),
      reason: text,
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('CreateTask' as const), taskId, missionId, ...taskFields }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('UpdateTask' as const),
      taskId,
      changes: fc.record(taskFields, { requiredKeys: [] }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('CreateJob' as const), jobId, taskId, ...jobFields }) },
  {
    weight: 14,
    arbitrary: fc.record({
      type: fc.constant('DispatchJob' as const),
      jobId,
      worker,
      leaseSeconds: fc.integer({ min: 1, max: 600 }),
      idempotency,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record(
      {
        type: fc.constant('CompleteJob' as const),
        jobId,
        result: jsonValue,
        cost: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
      },
      { requiredKeys: ['type', 'jobId', 'result'] },
    ),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('FailJob' as const),
      jobId,
      reason: text,
      message: fc.oneof(text, fc.constant('')),
      retryable: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('ExpireLease' as const), jobId }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('CancelJob' as const), jobId, reason: text }) },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** Histories that begin with two missions, a task in each and three jobs, so that most commands find what they name. */
export const history: fc.Arbitrary<History> = fc
  .tuple(
    fc.record(missionFields),
    fc.record(taskFields),
    fc.record(jobFields),
    fc.array(step, { minLength: 10, maxLength: 80, size: 'max' }),
  )
  .map(([mission, task, job, steps]) =>
    play([
      { type: 'CreateMission', missionId: 'm1', ...mission },
      { type: 'CreateMission', missionId: 'm2', ...mission },
      { type: 'CreateTask', taskId: 't1', missionId: 'm1', ...task },
      { type: 'CreateTask', taskId: 't2', missionId: 'm2', ...task },
      { type: 'CreateJob', jobId: 'j1', taskId: 't1', ...job },
      { type: 'CreateJob', jobId: 'j2', taskId: 't1', ...job },
      { type: 'CreateJob', jobId: 'j3', taskId: 't2', ...job },
      ...steps,
    ]),
  );

/** Gives each command to its decider, and records the facts of those that are accepted. */
function play(steps: readonly Step[]): History {
  const recorder = new Recorder();
  const states = {
    missions: new Map<string, MissionState>(),
    tasks: new Map<string, TaskState>(),
    jobs: new Map<string, JobState>(),
  };
  const missionOf = (id: string) => states.missions.get(id) ?? mission.initial;
  const taskOf = (id: string) => states.tasks.get(id) ?? task.initial;
  const jobOf = (id: string) => states.jobs.get(id) ?? job.initial;

  const carryOut = <Command, F extends AnyFact, State>(
    decider: Decider<Command, F, State>,
    of: Map<string, State>,
    id: string,
    command: Command,
    circumstances: Parameters<Recorder['record']>[1] = {},
  ): void => {
    const state = of.get(id) ?? decider.initial;
    const decision = decider.decide(state, command);
    if (!decision.accepted) return;
    for (const fact of decision.facts) {
      const { metadata } = recorder.record(fact, circumstances);
      of.set(id, decider.evolve(of.get(id) ?? state, { ...fact, metadata } as unknown as Recorded<F>));
    }
  };
  const tellMission = (command: MissionCommand) => {
    carryOut(mission, states.missions, command.missionId, command);
  };
  const tellTask = (command: TaskCommand) => {
    carryOut(task, states.tasks, command.taskId, command);
  };
  const tellJob = (command: JobCommand, circumstances = {}) => {
    carryOut(job, states.jobs, command.jobId, command, circumstances);
  };

  for (const command of steps) {
    const now = at(recorder.events.length);
    switch (command.type) {
      case 'CreateMission':
      case 'UpdateMission':
      case 'CloseMission':
        tellMission(command);
        break;
      case 'CreateTask':
        tellTask({ ...command, mission: missionOf(command.missionId) });
        break;
      case 'UpdateTask': {
        const state = taskOf(command.taskId);
        tellTask({ ...command, mission: state.status === 'ABSENT' ? mission.initial : missionOf(state.missionId) });
        break;
      }
      case 'CreateJob': {
        const state = taskOf(command.taskId);
        const ofTask = state.status === 'ABSENT' ? mission.initial : missionOf(state.missionId);
        tellJob({ ...command, task: state, mission: ofTask });
        break;
      }
      case 'DispatchJob': {
        const { idempotency, ...rest } = command;
        tellJob({ ...rest, at: now }, idempotency === undefined ? {} : { idempotency });
        break;
      }
      case 'CompleteJob':
      case 'FailJob': {
        const state = jobOf(command.jobId);
        if (state.status !== 'ABSENT') tellJob({ ...command, worker: state.worker ?? 'w1', attempt: state.attempt });
        break;
      }
      case 'ExpireLease': {
        const state = jobOf(command.jobId);
        if (state.status === 'ABSENT' || state.leaseExpiresAt === null) break;
        tellJob({ ...command, attempt: state.attempt, at: state.leaseExpiresAt });
        break;
      }
      case 'CancelJob':
        tellJob(command);
        break;
    }
  }
  return { events: recorder.events, ...states };
}

/** Ways to cut a list into batches. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 });

/** Cuts a list into batches of these sizes, repeated. */
export function cut<T>(items: readonly T[], sizes: readonly number[]): readonly (readonly T[])[] {
  const batches: T[][] = [];
  let from = 0;
  for (let i = 0; from < items.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1;
    batches.push(items.slice(from, from + size));
    from += size;
  }
  return batches;
}
