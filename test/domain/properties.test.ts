import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fact } from '../../src/domain/event.js';
import { job, JOB_STATUSES, type JobCommand, type JobFact } from '../../src/domain/job.js';
import { mission, OUTCOMES } from '../../src/domain/mission.js';
import { task } from '../../src/domain/task.js';
import {
  aim,
  answer,
  jobCommands,
  jobFact,
  jobStep,
  jobWay,
  missionClosed,
  missionCommand,
  missionCreated,
  missionFact,
  taskCommand,
  taskFact,
} from './arbitraries.js';
import { frozen, Subject } from './support.js';

const missions = new Subject(mission, (fact, metadata) => ({ ...fact, metadata }));
const tasks = new Subject(task, (fact, metadata) => ({ ...fact, metadata }));
const jobs = new Subject(job, (fact, metadata) => ({ ...fact, metadata }));

const FINISHED = ['COMPLETED', 'FAILED', 'CANCELLED'] as const;

/** Gives commands to an aggregate one after the other, with frozen states and commands. */
function play<Step, Command, F extends Fact<string, object>, State>(
  subject: Subject<Command, F, State>,
  steps: readonly Step[],
  command: (state: State, step: Step) => Command,
  start: State = subject.decider.initial,
): { readonly state: State; readonly facts: readonly F[] } {
  let state = frozen(start);
  const facts: F[] = [];
  for (const step of steps) {
    const decision = subject.decider.decide(state, frozen(command(state, step)));
    if (!decision.accepted) continue;
    for (const fact of decision.facts) {
      state = frozen(subject.decider.evolve(state, subject.event(fact, facts.length)));
      facts.push(frozen(fact));
    }
  }
  return { state, facts };
}

const itself = <Command>(_: unknown, command: Command) => command;

function stored<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** Every key and every text in a value. */
function textsOf(value: object): readonly string[] {
  const texts: string[] = [];
  JSON.stringify(value, (key, part: unknown) => {
    texts.push(key);
    if (typeof part === 'string') texts.push(part);
    return part;
  });
  return texts;
}

/** The laws of every decider. */
function laws<Step, Command, F extends Fact<string, object>, State extends { readonly status: string }>(
  name: string,
  subject: Subject<Command, F, State>,
  step: fc.Arbitrary<Step>,
  command: (state: State, step: Step) => Command,
  fact: fc.Arbitrary<F>,
  statuses: readonly string[],
): void {
  const steps = fc.array(step, { maxLength: 20 });

  describe(name, () => {
    it('has, after any commands, the state that the accepted facts alone result in', () => {
      fc.assert(
        fc.property(steps, (some) => {
          const { state, facts } = play(subject, some, command);
          expect(subject.state(...stored(facts))).toStrictEqual(state);
        }),
      );
    });

    it('decides the same twice and changes neither state nor command', () => {
      fc.assert(
        fc.property(steps, step, (some, next) => {
          const state = frozen(play(subject, some, command).state);
          const asked = frozen(command(state, next));
          const decision = subject.decider.decide(state, asked);
          expect(subject.decider.decide(state, asked)).toStrictEqual(decision);
          expect(subject.decider.decide(structuredClone(state), structuredClone(asked))).toStrictEqual(decision);
        }),
      );
    });

    it('accepts only values that JSON preserves, in well-formed Unicode', () => {
      fc.assert(
        fc.property(steps, (some) => {
          for (const { data } of play(subject, some, command).facts) {
            expect(stored(data)).toStrictEqual(data);
            expect(textsOf(data).filter((text) => !text.isWellFormed())).toEqual([]);
          }
        }),
      );
    });

    it('accepts any event in any state', () => {
      fc.assert(
        fc.property(fc.array(fact, { maxLength: 12 }), (facts) => {
          const { status } = subject.state(...facts);
          expect(statuses).toContain(status);
          expect(status === 'ABSENT').toBe(!facts.some(({ type }) => type.endsWith('Created')));
        }),
      );
    });
  });
}

laws('a mission', missions, missionCommand, itself, missionFact, ['ABSENT', 'OPEN', ...OUTCOMES]);
laws('a task', tasks, taskCommand, itself, taskFact, ['ABSENT', 'PRESENT']);
laws('a job', jobs, jobStep, aim, jobFact, ['ABSENT', ...JOB_STATUSES]);

describe('a closed mission', () => {
  it('is not changed by any command or event', () => {
    fc.assert(
      fc.property(
        fc.tuple(missionCreated, missionClosed),
        fc.array(missionCommand),
        fc.array(missionFact),
        (past, commands, later) => {
          const state = missions.state(...past);
          expect(OUTCOMES).toContain(state.status);
          expect(play(missions, commands, itself, state)).toStrictEqual({ state, facts: [] });
          expect(missions.state(...past, ...later)).toStrictEqual(state);
        },
      ),
    );
  });
});

describe('any job', () => {
  it('is never changed by an answer for an attempt that the worker does not hold', () => {
    fc.assert(
      fc.property(jobWay(), answer, ({ status, retries, fromQueue }, late) => {
        const { state } = play(jobs, jobCommands(status, retries, fromQueue), itself);
        expect(state.status).toBe(status);
        if (state.status === 'ABSENT') return;
        const holder = state.worker === late.worker && state.attempt === late.attempt;
        fc.pre(!holder || status !== 'DISPATCHED');
        const decision = job.decide(state, late);
        const code = holder && status !== 'PENDING' ? 'JOB_FINISHED' : 'STALE_ATTEMPT';
        expect(decision).toMatchObject({ accepted: false, problem: { code } });
      }),
      { numRuns: 500 },
    );
  });

  it('that does not exist accepts no answer', () => {
    fc.assert(
      fc.property(answer, (late) => {
        const decision = job.decide(job.initial, late);
        expect(decision).toMatchObject({ accepted: false, problem: { code: 'NOT_FOUND', entity: 'Job', id: 'j1' } });
      }),
    );
  });

  it('is not changed by any command or event once it is finished', () => {
    fc.assert(
      fc.property(
        jobWay(...FINISHED),
        fc.array(jobStep, { maxLength: 20 }),
        fc.array(jobFact),
        ({ status, retries, fromQueue }, steps, later) => {
          const { state, facts: past } = play(jobs, jobCommands(status, retries, fromQueue), itself);
          expect(state.status).toBe(status);
          expect(play(jobs, steps, aim, state)).toStrictEqual({ state, facts: [] });
          expect(jobs.state(...past, ...later)).toStrictEqual(state);
        },
      ),
    );
  });

  it('numbers its attempts 1, 2, 3 … up to at most its maxAttempts, and each ends before the next', () => {
    fc.assert(
      fc.property(jobWay('PENDING'), fc.array(jobStep, { maxLength: 30 }), ({ retries }, steps) => {
        const [created] = jobCommands('PENDING', retries, false);
        const begun = created === undefined ? [] : [{ command: created, aimed: false }];
        const { facts } = play(jobs, [...begun, ...steps], aim);
        expect(facts[0]?.type).toBe('JobCreated');
        expectAttemptsInOrder(facts, retries + 1);
      }),
      { numRuns: 300 },
    );
  });

  it('has exactly its maxAttempts when each fails or lets its lease run out', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 100 }), (expiries) => {
        const [created] = jobCommands('PENDING', expiries.length - 1, false);
        // Every attempt is tried, and two more.
        const steps = [...expiries, true, true].flatMap((expires, i) => attemptThatEnds(i + 1, expires));
        const { state, facts } = play(jobs, created === undefined ? [] : [created, ...steps], itself);
        expectAttemptsInOrder(facts, expiries.length);
        expect(state).toMatchObject({ status: 'FAILED', attempt: expiries.length });
      }),
      { numRuns: 50 },
    );
  });
});

function attemptThatEnds(attempt: number, expires: boolean): readonly JobCommand[] {
  const worker = `w${attempt}`;
  const time = (second: number) => new Date(Date.UTC(2031, 0, 1, 0, attempt, second)).toISOString();
  return [
    { type: 'DispatchJob', jobId: 'j1', worker, leaseSeconds: 30, at: time(0) },
    expires
      ? { type: 'ExpireLease', jobId: 'j1', attempt, at: time(30) }
      : { type: 'FailJob', jobId: 'j1', worker, attempt, reason: 'OOM', message: '', retryable: true },
  ];
}

function expectAttemptsInOrder(facts: readonly JobFact[], maxAttempts: number): void {
  let begun = 0;
  let ended = 0;
  for (const { type, data } of facts) {
    if (type === 'JobDispatched') {
      expect(ended).toBe(begun);
      begun += 1;
      expect(data.attempt).toBe(begun);
    } else if (type === 'JobCompleted' || type === 'JobFailed') {
      ended += 1;
      expect(data.attempt).toBe(ended);
    }
  }
  expect(begun).toBeLessThanOrEqual(maxAttempts);
  expect(ended).toBeLessThanOrEqual(begun);
}
