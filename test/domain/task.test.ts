import { describe, expect, it } from 'vitest';
import type { MissionState } from '../../src/domain/mission.js';
import type { Problem } from '../../src/domain/problem.js';
import { task, type TaskCommand, type TaskFact, type TaskFields } from '../../src/domain/task.js';
import { at, Subject } from './support.js';

const subject = new Subject(task, (fact, metadata) => ({ ...fact, metadata }));
const given = subject.given.bind(subject);
const state = subject.state.bind(subject);

const FIELDS: TaskFields = { name: 'Map', description: 'The east side', kind: 'survey', params: { depth: 3 } };
const CREATED: TaskFact = { type: 'TaskCreated', data: { taskId: 't1', missionId: 'm1', ...FIELDS } };
const OPEN: MissionState = {
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
const CLOSED: MissionState = { ...OPEN, status: 'CANCELLED', closedReason: 'storm' };
const ABSENT: MissionState = { status: 'ABSENT' };

const NO_MISSION: Problem = {
  code: 'NOT_FOUND',
  message: "There is no mission 'm1'.",
  entity: 'Mission',
  id: 'm1',
};
const MISSION_CLOSED: Problem = {
  code: 'MISSION_CLOSED',
  message: "Mission 'm1' is closed (CANCELLED) and accepts no more changes, tasks or jobs.",
  missionId: 'm1',
};

const create = (fields: Partial<TaskFields> = {}, mission: MissionState = OPEN): TaskCommand => ({
  type: 'CreateTask',
  taskId: 't1',
  missionId: 'm1',
  mission,
  ...FIELDS,
  ...fields,
});
const update = (changes: Partial<TaskFields>, mission: MissionState = OPEN): TaskCommand => ({
  type: 'UpdateTask',
  taskId: 't1',
  mission,
  changes,
});
/** Params with an exact number of bytes of JSON. */
const paramsOf = (bytes: number) => ({ blob: 'x'.repeat(bytes - '{"blob":""}'.length) });

describe('creating a task', () => {
  it('records the task with its mission', () => {
    given().when(create()).thenFacts(CREATED);
  });

  it('refuses an id that is taken', () => {
    given(CREATED)
      .when(create())
      .thenProblem({ code: 'ALREADY_EXISTS', message: "Task 't1' already exists.", entity: 'Task', id: 't1' });
  });

  it('refuses a mission that does not exist', () => {
    given().when(create({}, ABSENT)).thenProblem(NO_MISSION);
  });

  it('refuses a closed mission', () => {
    given().when(create({}, CLOSED)).thenProblem(MISSION_CLOSED);
  });

  it('refuses ids that cannot be ids', () => {
    given()
      .when({ type: 'CreateTask', taskId: '', missionId: '-', mission: OPEN, ...FIELDS })
      .thenInvalid('id', 'missionId');
  });
});

describe.each([
  ['creating', [], create],
  ['updating', [CREATED], update],
] as const)('%s a task', (_, past, command) => {
  const accepts = (fields: Partial<TaskFields>) => {
    const decision = task.decide(state(...past), command(fields));
    expect(decision.accepted && decision.facts.map(({ data }) => data)).toMatchObject([fields]);
  };
  const refuses = (fields: Partial<TaskFields>, ...paths: readonly string[]) => {
    given(...past)
      .when(command(fields))
      .thenInvalid(...paths);
  };

  it('accepts a name of 1 character', () => accepts({ name: 'x' }));
  it('accepts a name of 200 characters', () => accepts({ name: 'x'.repeat(200) }));
  it('refuses a name of 201 characters', () => refuses({ name: 'x'.repeat(201) }, 'name'));
  it('refuses a blank name', () => refuses({ name: '  ' }, 'name'));
  it('accepts an empty description', () => accepts({ description: '' }));
  it('accepts a description of 10,000 characters', () => accepts({ description: 'x'.repeat(10_000) }));
  it('refuses a description of 10,001 characters', () => refuses({ description: 'x'.repeat(10_001) }, 'description'));
  it('accepts a kind of 64 characters', () => accepts({ kind: 'x'.repeat(64) }));
  it('refuses a kind of 65 characters', () => refuses({ kind: 'x'.repeat(65) }, 'kind'));
  it('refuses an empty kind', () => refuses({ kind: '' }, 'kind'));
  it('accepts params of 64 KiB', () => accepts({ params: paramsOf(65_536) }));
  it('refuses params of 64 KiB and a byte', () => refuses({ params: paramsOf(65_537) }, 'params'));
  it('reports everything that is wrong in one problem', () => {
    refuses({ name: '', kind: '', params: { n: NaN } }, 'name', 'kind', 'params');
  });
});

describe('updating a task', () => {
  it('records only what changes', () => {
    given(CREATED)
      .when(update({ ...FIELDS, name: 'Chart' }))
      .thenFacts({ type: 'TaskUpdated', data: { taskId: 't1', missionId: 'm1', name: 'Chart' } });
  });

  it('records nothing when nothing changes', () => {
    given(CREATED).when(update(FIELDS)).thenNothing();
  });

  it('refuses a task that does not exist', () => {
    given()
      .when(update({ name: 'x' }))
      .thenProblem({ code: 'NOT_FOUND', message: "There is no task 't1'.", entity: 'Task', id: 't1' });
  });

  it('refuses an id that cannot be one', () => {
    given(CREATED).when({ type: 'UpdateTask', taskId: 't/1', mission: OPEN, changes: {} }).thenInvalid('id');
  });

  it('refuses when its mission is closed', () => {
    given(CREATED)
      .when(update({ name: 'x' }, CLOSED))
      .thenProblem(MISSION_CLOSED);
  });

  it('refuses when its mission does not exist, and names that mission', () => {
    given(CREATED)
      .when(update({ name: 'x' }, ABSENT))
      .thenProblem(NO_MISSION);
  });
});

describe('the state of a task', () => {
  it('is absent before its creation', () => {
    expect(state()).toEqual({ status: 'ABSENT' });
  });

  it('is present once created, with the time of the event', () => {
    expect(state(CREATED)).toStrictEqual({
      status: 'PRESENT',
      taskId: 't1',
      missionId: 'm1',
      ...FIELDS,
      createdAt: at(0),
      updatedAt: at(0),
    });
  });

  it('takes over the updated fields and keeps the others', () => {
    const updated: TaskFact = { type: 'TaskUpdated', data: { taskId: 't1', missionId: 'm1', kind: 'chart' } };
    expect(state(CREATED, updated)).toStrictEqual({
      status: 'PRESENT',
      taskId: 't1',
      missionId: 'm1',
      ...FIELDS,
      kind: 'chart',
      createdAt: at(0),
      updatedAt: at(1),
    });
  });

  it('is still absent after an update before its creation', () => {
    expect(state({ type: 'TaskUpdated', data: { taskId: 't1', missionId: 'm1', name: 'x' } })).toEqual({
      status: 'ABSENT',
    });
  });

  it('is not changed by a second creation', () => {
    const again: TaskFact = { type: 'TaskCreated', data: { taskId: 't1', missionId: 'm2', ...FIELDS } };
    expect(state(CREATED, again)).toEqual(state(CREATED));
  });
});
