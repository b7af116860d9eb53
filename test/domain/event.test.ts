import { describe, expect, it } from 'vitest';
import {
  categoryOf,
  categoryOfType,
  ETYPES,
  isCategory,
  isEventType,
  isReadable,
  isReplicated,
} from '../../src/domain/event.js';

describe('the catalogue of events', () => {
  it('gives every event the number it always had', () => {
    expect(Object.entries(ETYPES)).toStrictEqual([
      ['MissionCreated', 10],
      ['MissionUpdated', 11],
      ['TaskCreated', 12],
      ['TaskUpdated', 13],
      ['JobCreated', 14],
      ['JobDispatched', 15],
      ['JobCompleted', 16],
      ['JobFailed', 17],
      ['MissionClosed', 18],
      ['JobCancelled', 19],
      ['ReplicationPolicySet', 20],
      ['HostStateChanged', 21],
      ['ReplicasAcknowledged', 22],
      ['KeyRotated', 23],
      ['RetentionBudgetSet', 24],
      ['EventsEvicted', 25],
      ['WindowCompacted', 26],
      ['LedgerBlockSealed', 27],
      ['TransferProposed', 28],
      ['TransferFinalized', 29],
      ['PayloadStored', 30],
      ['JobLeaseExtended', 31],
      ['JobReleased', 32],
      ['JobReadied', 33],
      ['JobRetried', 34],
      ['QueuePolicySet', 35],
      ['ScheduleSet', 36],
      ['ScheduleRemoved', 37],
      ['HistoryHole', 38],
    ]);
  });

  it.each(Object.keys(ETYPES))('knows %s', (name) => {
    expect(isEventType(name)).toBe(true);
  });

  it.each(['', 'missionCreated', 'MissionDeleted', 'toString', 'constructor', '__proto__'])(
    'does not know %j',
    (name) => {
      expect(isEventType(name)).toBe(false);
    },
  );
});

describe('a type of event', () => {
  it('is readable, unless it is known by name only', () => {
    const names = Object.keys(ETYPES).filter(isEventType);
    expect(names.filter((type) => !isReadable(type)).map((type) => ETYPES[type])).toEqual([31, 32, 33, 34, 35, 36, 37]);
    expect(isReadable('Unheard')).toBe(false);
  });

  it('belongs to streams of a category of the catalogue', () => {
    for (const type of Object.keys(ETYPES).filter(isEventType)) expect(isCategory(categoryOfType(type))).toBe(true);
  });

  it('is replicated unless it describes this copy of the log, also when this build does not know it', () => {
    const local = Object.entries(ETYPES).filter(([type, etype]) => !isReplicated({ type, etype }));
    expect(local.map(([type]) => type)).toEqual(['ReplicasAcknowledged', 'EventsEvicted']);
    expect(isReplicated({ type: 'Unheard', etype: 99 })).toBe(true);
  });

  it('is not replicated when the row holds no event any more', () => {
    expect(isReplicated({ type: '$truncated', etype: 0 })).toBe(false);
  });
});

describe('the category of a stream', () => {
  it.each([
    ['mission-1', 'mission'],
    ['job-018f3f6e-7d3c-7cc0', 'job'],
    ['wallet-', 'wallet'],
    ['settings', 'settings'],
    ['-1', ''],
    ['', ''],
  ])('of %j is %j', (stream, category) => {
    expect(categoryOf(stream)).toBe(category);
  });
});
