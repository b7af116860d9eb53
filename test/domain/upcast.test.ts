import { describe, expect, it } from 'vitest';
import { ETYPES, type RecordedEvent } from '../../src/domain/event.js';
import type { JsonObject } from '../../src/domain/json.js';
import { mission, type MissionEvent } from '../../src/domain/mission.js';
import { schemaVersionOf, upcast } from '../../src/domain/upcast.js';
import { at, frozen, metadata } from './support.js';

function recorded(type: string, schemaVersion: number, data: JsonObject): RecordedEvent {
  return frozen({
    id: '018f3f6e-7d3c-7cc0-8d4a-3a1f0c9f5b11',
    stream: 'mission-m1',
    revision: 0n,
    position: 1n,
    type,
    etype: 10,
    data,
    metadata: { ...metadata(0), schemaVersion },
    recordedAt: at(1),
  });
}

/** The shape that the type of an event gives its data, once it is upcast. */
function isMissionCreated(
  event: RecordedEvent,
): event is RecordedEvent & Extract<MissionEvent, { type: 'MissionCreated' }> {
  return event.type === 'MissionCreated';
}

describe('a MissionCreated of version 0', () => {
  const OLD = recorded('MissionCreated', 0, { missionId: 'm1', title: 'Ridge' });

  it('receives the fields it lacks, and today’s version', () => {
    expect(upcast(OLD)).toStrictEqual({
      ...OLD,
      data: { missionId: 'm1', title: 'Ridge', description: '', metadata: {}, tags: [] },
      metadata: { ...OLD.metadata, schemaVersion: 1 },
    });
  });

  it('keeps what it has', () => {
    const data = { missionId: 'm1', title: 'Ridge', description: 'North', metadata: { a: 1 }, tags: ['t'] };
    expect(upcast(recorded('MissionCreated', 0, data)).data).toStrictEqual(data);
  });

  it('folds into a mission', () => {
    const event = upcast(OLD);
    expect(isMissionCreated(event) && mission.evolve(mission.initial, event)).toStrictEqual({
      status: 'OPEN',
      missionId: 'm1',
      title: 'Ridge',
      description: '',
      metadata: {},
      tags: [],
      closedReason: null,
      createdAt: at(0),
      updatedAt: at(0),
    });
  });

  it('is the same upcast twice as once', () => {
    expect(upcast(upcast(OLD))).toStrictEqual(upcast(OLD));
  });
});

describe('an event of today’s version', () => {
  it('is left as it is, even where it lacks what an upcast would add', () => {
    const event = recorded('MissionCreated', 1, { missionId: 'm1', title: 'Ridge' });
    expect(upcast(event)).toBe(event);
  });

  it.each([
    ['MissionCreated', 2],
    ['JobCreated', 2],
    ['JobCreated', 99],
  ])('is refused when its version is later than the known one: %s in version %i', (type, version) => {
    const event = recorded(type, version, { missionId: 'm1', name: 'Ridge' });
    expect(() => upcast(event)).toThrow(expect.objectContaining({ code: 'NEWER_EVENT' }));
  });
});

describe('an event without upcasters', () => {
  it.each(['JobCreated', 'Unknown', 'constructor', 'hasOwnProperty', 'toString', '__proto__'])(
    'is left as it is: %s',
    (type) => {
      const event = recorded(type, 0, { jobId: 'j1' });
      expect(upcast(event)).toBe(event);
    },
  );
});

describe('the version new events are written in', () => {
  it.each([...Object.keys(ETYPES), 'Unknown', 'toString'])('is 1, or 2 of what hosts have signed: %s', (type) => {
    expect(schemaVersionOf(type)).toBe(type === 'ReplicasAcknowledged' ? 2 : 1);
  });
});
