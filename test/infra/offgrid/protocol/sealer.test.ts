import { describe, expect, it } from 'vitest';
import type { RecordedEvent } from '../../../../src/domain/event.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { Sealer } from '../../../../src/infra/offgrid/protocol/sealer.js';
import { newEvent } from '../../../support/events.js';

const EID = 'ab'.repeat(32);

describe('a hole', () => {
  const data = { origin: 'o', sequence: 3, etype: 14, ts: 7, eid: EID };
  const place = { stream: 'job-a', revision: 1n, position: 9n, etype: 38, recordedAt: '' };
  const event: RecordedEvent = { ...newEvent({ type: 'HistoryHole', data }), ...place };
  const sealer = new Sealer(RootKey.generate(), 'o');
  const shipped = (sequence: number, holes: readonly number[], changed: object = {}) =>
    sealer.shipped({ sequence, event: { ...event, ...changed } }, { keys: [], holes: new Set(holes) });

  it('is shipped with the entry that the origin signed for the lost event', () => {
    const eid = new Uint8Array(Buffer.from(EID, 'hex'));
    expect(shipped(3, [3])).toEqual({ sequence: 3, etype: 14, ts: 7, sealed: null, eid });
  });

  it('is one only if the log’s own facts state it: a HistoryHole from elsewhere is an event like any other', () => {
    expect(shipped(3, [])).toMatchObject({ etype: 38, sealed: expect.any(Uint8Array) });
    expect(shipped(4, [3])).toMatchObject({ etype: 38, sealed: expect.any(Uint8Array) });
    expect(shipped(3, [3], { type: 'MissionUpdated', etype: 11 })).toMatchObject({ etype: 11 });
    expect(shipped(3, [3], { data: {} })).toMatchObject({ etype: 38, sealed: expect.any(Uint8Array) });
  });
});
