import { describe, expect, it } from 'vitest';
import { ETYPES, type EventType } from '../../../../src/domain/event.js';
import { keyringStream } from '../../../../src/domain/keyring.js';
import type { JsonObject } from '../../../../src/domain/json.js';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { dataKey, KEY_BYTES, type DataKey } from '../../../../src/infra/crypto/data-key.js';
import { seal } from '../../../../src/infra/crypto/envelope.js';
import { RootKey } from '../../../../src/infra/crypto/root-key.js';
import { eventText } from '../../../../src/infra/offgrid/protocol/event-text.js';
import { NotAnEvent, NotSealedHere, EnvelopeReader } from '../../../../src/infra/offgrid/restore/envelope-reader.js';
import { newEvent } from '../../../support/events.js';
import { ORIGIN } from '../../../support/offgrid/by-hand.js';

const root = RootKey.generate();
const [first, other] = [dataKey(new Uint8Array(KEY_BYTES).fill(1)), dataKey(new Uint8Array(KEY_BYTES).fill(2))];

function sealed(sequence: number, key: DataKey, type: string, stream: string, data: JsonObject, etype?: number) {
  const number = etype ?? ETYPES[type as EventType];
  const place = { origin: ORIGIN, sequence, etype: number, at: 1_700_000_000_000 };
  const event = { ...newEvent({ type, data }), stream, revision: 0n };
  return { sequence, etype: place.etype, ts: place.at, sealed: seal(key, place, eventText(event)) };
}

function rotated(sequence: number, key: DataKey, keyEpoch: number) {
  const ids = { keyId: toHex(key.id), rootKeyId: root.id };
  const data = { origin: ORIGIN, keyEpoch, ...ids, wrappedKey: root.wrap(key, ORIGIN, keyEpoch) };
  return sealed(sequence, root.firstDataKey, 'KeyRotated', keyringStream(ORIGIN), data);
}

describe('a reader that opens the events of an origin', () => {
  it('learns the key of each epoch, and of two of one epoch keeps the first', () => {
    const opener = new EnvelopeReader(root, ORIGIN);
    opener.open(sealed(1, root.firstDataKey, 'MissionCreated', 'mission-a', {}));
    opener.open(rotated(2, first, 1));
    opener.open(rotated(3, other, 1));
    const event = sealed(4, first, 'MissionCreated', 'mission-b', { title: 'T' });
    expect(opener.open(event)).toMatchObject({ sequence: 4, stream: 'mission-b', data: { title: 'T' } });
    opener.open(rotated(5, other, 2));
    expect(() => opener.open({ ...event, sequence: 6 })).toThrow(NotSealedHere);
    expect(opener.open(sealed(6, other, 'MissionCreated', 'mission-c', {})).stream).toBe('mission-c');
  });

  it('passes over keys of another origin or root, and opens later events with the key it has', () => {
    const opener = new EnvelopeReader(root, ORIGIN);
    opener.open(rotated(1, first, 1));
    const good = { origin: ORIGIN, keyEpoch: 2, keyId: toHex(other.id), rootKeyId: root.id };
    const wrappedKey = root.wrap(other, ORIGIN, 2);
    const others: JsonObject[] = [
      { ...good, wrappedKey, origin: 'elsewhere' },
      { ...good, wrappedKey, rootKeyId: RootKey.generate().id },
      { ...good, wrappedKey: 'AAAA' },
      { ...good, keyEpoch: '2', wrappedKey },
      {},
    ];
    for (const [i, data] of others.entries()) {
      const key = sealed(i + 2, root.firstDataKey, 'KeyRotated', keyringStream(ORIGIN), data);
      expect(opener.open(key).data).toEqual(data);
    }
    expect(opener.open(sealed(9, first, 'MissionCreated', 'mission-a', {})).stream).toBe('mission-a');
  });

  it('opens events of types that this build does not know', () => {
    const opener = new EnvelopeReader(root, ORIGIN);
    expect(opener.open(sealed(1, root.firstDataKey, 'Unheard', 'unheard-1', { a: 1 }, 99))).toMatchObject({
      type: 'Unheard',
      etype: 99,
      data: { a: 1 },
    });
  });

  it.each([
    ['a type under the number of another', 'MissionCreated', 11],
    ['an unknown type under the number of a known one', 'Unheard', 10],
  ])('stops at %s: every host has the same', (_what, type, etype) => {
    const opener = new EnvelopeReader(root, ORIGIN);
    expect(() => opener.open(sealed(1, root.firstDataKey, type, 'mission-a', {}, etype))).toThrow(NotAnEvent);
  });

  it('stops at an envelope that does not hold an event', () => {
    const place = { origin: ORIGIN, sequence: 1, etype: 10, at: 0 };
    const text = seal(root.firstDataKey, place, 'not an event');
    const opener = new EnvelopeReader(root, ORIGIN);
    expect(() => opener.open({ sequence: 1, etype: 10, ts: 0, sealed: text })).toThrow(
      `Event 1 of '${ORIGIN}' opens, but what was sealed there is not an event.`,
    );
  });
});
