import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assertFoldable } from '../../../src/infra/transfer/event-data.js';
import { newEvent, newMetadata } from '../../support/events.js';
import { history } from '../../projections/histories.js';

describe('an event that an import accepts', () => {
  it('is any event that commands record', () => {
    fc.assert(
      fc.property(history, ({ events }) => {
        for (const { stream, revision, ...event } of events) assertFoldable({ stream, revision, event });
      }),
    );
  });

  it('is any event of an earlier schema version, in the form of that version', () => {
    const old = newEvent({ type: 'MissionCreated', data: { missionId: 'a', title: 'Old' } });
    const event = { ...old, metadata: { ...old.metadata, schemaVersion: 0 } };
    assertFoldable({ stream: 'mission-a', revision: 0n, event });
    expect(() => assertFoldable({ stream: 'mission-a', revision: 0n, event: old })).toThrow(
      'description: must be text',
    );
  });

  it('is any event of a type that no read model folds, in a stream of its category', () => {
    const event = newEvent({ type: 'PayloadStored', data: { of: 1 } });
    assertFoldable({ stream: 'asset-a', revision: 7n, event });
    expect(() => assertFoldable({ stream: 'mission-a', revision: 7n, event })).toThrow('is not the stream');
  });

  it.each(['ReplicationPolicySet', 'HostStateChanged', 'ReplicasAcknowledged', 'KeyRotated'])(
    'is not a %s without its data, nor one in a stream of commands',
    (type) => {
      const stream = type === 'KeyRotated' ? 'keyring-core' : 'replication-core';
      const event = newEvent({ type, data: {} });
      expect(() => assertFoldable({ stream, revision: 0n, event })).toThrow('origin: ');
      expect(() => assertFoldable({ stream: 'job-a', revision: 0n, event })).toThrow('is not the stream');
    },
  );

  it('is a hole, in any stream', () => {
    const data = { origin: 'o', sequence: 3, etype: 14, ts: 0, eid: '00'.repeat(32) };
    const event = newEvent({ type: 'HistoryHole', data });
    assertFoldable({ stream: 'job-a', revision: 1n, event });
    // If it is the first event of a stream, the other events of the stream cannot be folded.
    expect(() => assertFoldable({ stream: 'job-a', revision: 0n, event })).toThrow(
      "the first event of 'job-a' is lost",
    );
    const wrong = { ...event, data: { ...data, ts: 'now' } };
    expect(() => assertFoldable({ stream: 'job-a', revision: 1n, event: wrong })).toThrow('ts: ');
  });

  it('is not an event of a newer build', () => {
    const event = newEvent({ type: 'MissionUpdated', metadata: { ...newMetadata(), schemaVersion: 2 } });
    expect(() => assertFoldable({ stream: 'mission-a', revision: 1n, event })).toThrow('NEWER_EVENT: ');
    const named = newEvent({ type: 'JobLeaseExtended', data: {} });
    expect(() => assertFoldable({ stream: 'job-a', revision: 1n, event: named })).toThrow('NEWER_EVENT: ');
  });

  it('is refused with any field missing, of another type, or in another place', () => {
    const optional = new Set(['MissionUpdated', 'TaskUpdated']);
    fc.assert(
      fc.property(history, fc.nat(), ({ events }, seed) => {
        const found = events[seed % events.length];
        fc.pre(found !== undefined);
        const { stream, revision, ...event } = found;
        expect(() => assertFoldable({ stream: `${stream}x`, revision, event })).toThrow('is not the stream');
        for (const name of Object.keys(event.data)) {
          const { [name]: _, ...rest } = event.data;
          const isOptional = optional.has(event.type) && !name.endsWith('Id');
          if (!isOptional && name !== 'cost')
            expect(() => assertFoldable({ stream, revision, event: { ...event, data: rest } })).toThrow(`${name}: `);
          if (name === 'result') continue;
          const odd = { ...event, data: { ...event.data, [name]: [[]] } };
          expect(() => assertFoldable({ stream, revision, event: odd })).toThrow(name);
        }
      }),
    );
  });
});
