import { describe, expect, it } from 'vitest';
import {
  mission,
  OUTCOMES,
  type MissionCommand,
  type MissionFact,
  type MissionFields,
} from '../../src/domain/mission.js';
import { at, Subject } from './support.js';

const subject = new Subject(mission, (fact, metadata) => ({ ...fact, metadata }));
const given = subject.given.bind(subject);
const state = subject.state.bind(subject);

const FIELDS: MissionFields = {
  title: 'Survey the ridge',
  description: 'Before the snow',
  metadata: { region: 'north', grid: [4, 7] },
  tags: ['survey', 'winter'],
};
const CREATED: MissionFact = { type: 'MissionCreated', data: { missionId: 'm1', ...FIELDS } };
const CLOSED: MissionFact = {
  type: 'MissionClosed',
  data: { missionId: 'm1', outcome: 'COMPLETED', reason: 'all done' },
};

const create = (fields: Partial<MissionFields> = {}): MissionCommand => ({
  type: 'CreateMission',
  missionId: 'm1',
  ...FIELDS,
  ...fields,
});
const update = (changes: Partial<MissionFields>): MissionCommand => ({
  type: 'UpdateMission',
  missionId: 'm1',
  changes,
});
const close = (reason = 'all done'): MissionCommand => ({
  type: 'CloseMission',
  missionId: 'm1',
  outcome: 'COMPLETED',
  reason,
});
const tags = (count: number) => Array.from({ length: count }, (_, i) => `tag ${i}`);
/** Metadata with an exact number of bytes of JSON. */
const metadataOf = (bytes: number) => ({ blob: 'x'.repeat(bytes - '{"blob":""}'.length) });

describe('creating a mission', () => {
  it('records the mission with all its fields', () => {
    given().when(create()).thenFacts(CREATED);
  });

  it('refuses an id that is taken', () => {
    given(CREATED)
      .when(create())
      .thenProblem({ code: 'ALREADY_EXISTS', message: "Mission 'm1' already exists.", entity: 'Mission', id: 'm1' });
  });

  it('refuses the id of a closed mission', () => {
    given(CREATED, CLOSED)
      .when(create())
      .thenProblem({ code: 'ALREADY_EXISTS', message: "Mission 'm1' already exists.", entity: 'Mission', id: 'm1' });
  });

  it('refuses an id that cannot be one', () => {
    given()
      .when({ ...create(), missionId: 'm 1' })
      .thenInvalid('id');
  });

  it('reports everything that is wrong in one problem', () => {
    given()
      .when({ ...create({ title: '', tags: ['a', 'a'] }), missionId: '' })
      .thenInvalid('id', 'title', 'tags');
  });
});

describe.each([
  ['creating', [], create],
  ['updating', [CREATED], update],
] as const)('%s a mission', (_, past, command) => {
  const accepts = (fields: Partial<MissionFields>) => {
    const decision = mission.decide(state(...past), command(fields));
    expect(decision.accepted && decision.facts.map(({ data }) => data)).toMatchObject([fields]);
  };
  const refuses = (fields: Partial<MissionFields>, ...paths: readonly string[]) => {
    given(...past)
      .when(command(fields))
      .thenInvalid(...paths);
  };

  it('accepts a title of 1 character', () => accepts({ title: 'x' }));
  it('accepts a title of 200 characters', () => accepts({ title: 'x'.repeat(200) }));
  it('refuses a title of 201 characters', () => refuses({ title: 'x'.repeat(201) }, 'title'));
  it('refuses an empty title', () => refuses({ title: '' }, 'title'));
  it('refuses a title of blanks', () => refuses({ title: ' \t\n' }, 'title'));
  it('refuses a title with half of a surrogate pair', () => refuses({ title: 'x\ud83d' }, 'title'));
  it('accepts an empty description', () => accepts({ description: '' }));
  it('accepts a description of 10,000 characters', () => accepts({ description: 'x'.repeat(10_000) }));
  it('refuses a description of 10,001 characters', () => refuses({ description: 'x'.repeat(10_001) }, 'description'));
  it('accepts no tags', () => accepts({ tags: [] }));
  it('accepts 32 tags', () => accepts({ tags: tags(32) }));
  it('refuses 33 tags', () => refuses({ tags: tags(33) }, 'tags'));
  it('accepts a tag of 64 characters', () => accepts({ tags: ['x'.repeat(64)] }));
  it('refuses a tag of 65 characters, naming which', () => refuses({ tags: ['ok', 'x'.repeat(65)] }, 'tags.1'));
  it('refuses a blank tag', () => refuses({ tags: [' '] }, 'tags.0'));
  it('refuses a tag named twice', () => refuses({ tags: ['a', 'b', 'a'] }, 'tags'));
  it('accepts metadata of 64 KiB', () => accepts({ metadata: metadataOf(65_536) }));
  it('refuses metadata of 64 KiB and a byte', () => refuses({ metadata: metadataOf(65_537) }, 'metadata'));
  it('refuses metadata with a number that is not finite', () => refuses({ metadata: { n: Infinity } }, 'metadata'));
});

describe('updating a mission', () => {
  it('records only the fields that change', () => {
    given(CREATED)
      .when(update({ title: 'Survey the valley' }))
      .thenFacts({ type: 'MissionUpdated', data: { missionId: 'm1', title: 'Survey the valley' } });
  });

  it('leaves out fields that do not change', () => {
    given(CREATED)
      .when(update({ ...FIELDS, tags: ['winter', 'survey'] }))
      .thenFacts({ type: 'MissionUpdated', data: { missionId: 'm1', tags: ['winter', 'survey'] } });
  });

  it('records nothing when nothing changes, in any order of keys', () => {
    given(CREATED)
      .when(update({ ...FIELDS, metadata: { grid: [4, 7], region: 'north' } }))
      .thenNothing();
  });

  it('records nothing when no field is given', () => {
    given(CREATED).when(update({})).thenNothing();
  });

  it('compares with the mission as it was last updated', () => {
    given(CREATED, { type: 'MissionUpdated', data: { missionId: 'm1', title: 'Second' } })
      .when(update({ title: FIELDS.title }))
      .thenFacts({ type: 'MissionUpdated', data: { missionId: 'm1', title: FIELDS.title } });
  });

  it('refuses a mission that does not exist', () => {
    given()
      .when(update({ title: 'x' }))
      .thenProblem({ code: 'NOT_FOUND', message: "There is no mission 'm1'.", entity: 'Mission', id: 'm1' });
  });

  it('refuses a closed mission', () => {
    given(CREATED, CLOSED)
      .when(update({ title: 'x' }))
      .thenProblem({
        code: 'MISSION_CLOSED',
        message: "Mission 'm1' is closed (COMPLETED) and accepts no more changes, tasks or jobs.",
        missionId: 'm1',
      });
  });

  it('refuses a closed mission even when nothing would change', () => {
    given(CREATED, CLOSED).when(update({})).thenProblem({
      code: 'MISSION_CLOSED',
      message: "Mission 'm1' is closed (COMPLETED) and accepts no more changes, tasks or jobs.",
      missionId: 'm1',
    });
  });
});

describe('closing a mission', () => {
  it.each(OUTCOMES)('records that it ended as %s', (outcome) => {
    given(CREATED)
      .when({ type: 'CloseMission', missionId: 'm1', outcome, reason: 'because' })
      .thenFacts({ type: 'MissionClosed', data: { missionId: 'm1', outcome, reason: 'because' } });
  });

  it.each([0, 1_000])('accepts a reason of %i characters', (length) => {
    const reason = 'x'.repeat(length);
    given(CREATED)
      .when(close(reason))
      .thenFacts({ type: 'MissionClosed', data: { missionId: 'm1', outcome: 'COMPLETED', reason } });
  });

  it('refuses a reason of 1,001 characters', () => {
    given(CREATED)
      .when(close('x'.repeat(1_001)))
      .thenInvalid('reason');
  });

  it('refuses a mission that does not exist', () => {
    given()
      .when(close())
      .thenProblem({ code: 'NOT_FOUND', message: "There is no mission 'm1'.", entity: 'Mission', id: 'm1' });
  });

  it('refuses a mission that is closed already, with its outcome in the message', () => {
    given(CREATED, { type: 'MissionClosed', data: { missionId: 'm1', outcome: 'FAILED', reason: 'storm' } })
      .when(close())
      .thenProblem({
        code: 'MISSION_CLOSED',
        message: "Mission 'm1' is closed (FAILED) and accepts no more changes, tasks or jobs.",
        missionId: 'm1',
      });
  });
});

describe('the state of a mission', () => {
  it('is absent before its creation', () => {
    expect(state()).toEqual({ status: 'ABSENT' });
  });

  it('is open once created, with the time of the event', () => {
    expect(state(CREATED)).toStrictEqual({
      status: 'OPEN',
      missionId: 'm1',
      ...FIELDS,
      closedReason: null,
      createdAt: at(0),
      updatedAt: at(0),
    });
  });

  it('takes over the updated fields and keeps the others', () => {
    expect(state(CREATED, { type: 'MissionUpdated', data: { missionId: 'm1', tags: [] } })).toStrictEqual({
      status: 'OPEN',
      missionId: 'm1',
      ...FIELDS,
      tags: [],
      closedReason: null,
      createdAt: at(0),
      updatedAt: at(1),
    });
  });

  it('is the outcome once closed, with the reason', () => {
    expect(state(CREATED, CLOSED)).toStrictEqual({
      status: 'COMPLETED',
      missionId: 'm1',
      ...FIELDS,
      closedReason: 'all done',
      createdAt: at(0),
      updatedAt: at(1),
    });
  });

  it.each<MissionFact>([
    { type: 'MissionUpdated', data: { missionId: 'm1', title: 'x' } },
    { type: 'MissionClosed', data: { missionId: 'm1', outcome: 'FAILED', reason: '' } },
  ])('is still absent after a $type before its creation', (fact) => {
    expect(state(fact)).toEqual({ status: 'ABSENT' });
  });

  it('is not changed by a second creation', () => {
    const again: MissionFact = { type: 'MissionCreated', data: { missionId: 'm1', ...FIELDS, title: 'Again' } };
    expect(state(CREATED, again)).toEqual(state(CREATED));
  });

  it.each<MissionFact>([
    CREATED,
    { type: 'MissionUpdated', data: { missionId: 'm1', title: 'x' } },
    { type: 'MissionClosed', data: { missionId: 'm1', outcome: 'FAILED', reason: '' } },
  ])('keeps its outcome after a later $type', (fact) => {
    expect(state(CREATED, CLOSED, fact)).toEqual(state(CREATED, CLOSED));
  });
});
