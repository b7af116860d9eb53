import { describe, expect, it } from 'vitest';
import { categoryOf, ETYPES, isEventType } from '../../src/domain/event.js';

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
