import { isDeepStrictEqual } from 'node:util';
import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeMend,
  decodeMendAnswer,
  encodeMend,
  encodeMendAnswer,
} from '../../../../src/infra/offgrid/protocol/mend.js';
import {
  codeOf,
  eventLimits,
  messageOf,
  sealedEvents,
  sequenceLimits,
  sequences,
  without,
  withMember,
} from '../../../support/offgrid/protocol-2.js';

const event = { ts: 0, etype: 10, sealed: new Uint8Array(121), sequence: 1 };
const limits = { ...eventLimits, sequence: sequenceLimits };
const numberedEvents = fc.tuple(sealedEvents, sequences).map(([each, sequence]) => ({ ...each, sequence }));

describe('a mend', () => {
  it('decodes to the value that was encoded', () => {
    fc.assert(
      fc.property(fc.array(numberedEvents, { maxLength: 20 }), (events) => {
        expect(decodeMend(encodeMend({ events }))).toEqual({ events });
      }),
    );
  });

  it.each(Object.entries(limits))('has a limit for the %s of an event', (name, { inside, outside }) => {
    const decode = (changed: unknown) => decodeMend(encode({ events: [changed] }));
    for (const value of inside) {
      const changed = withMember(event, name, value);
      expect(isDeepStrictEqual(decode(changed).events, [changed])).toBe(true);
    }
    for (const value of outside)
      expect(messageOf(() => decode(withMember(event, name, value)))).toContain(`body.events[0].${name} is`);
    expect(messageOf(() => decode(without(event, name)))).toContain(`body.events[0].${name} is missing`);
  });

  it('has at most 500 events and 8 MiB', () => {
    const events = (count: number) => Array.from({ length: count }, () => event);
    expect(decodeMend(encodeMend({ events: events(500) })).events).toHaveLength(500);
    expect(codeOf(() => encodeMend({ events: events(501) }))).toBe('MALFORMED');
    expect(codeOf(() => decodeMend(encode({ events: events(501) })))).toBe('MALFORMED');
    const large = Array.from({ length: 9 }, () => ({ ...event, sealed: new Uint8Array(1_000_000) }));
    expect(codeOf(() => encodeMend({ events: large }))).toBe('TOO_LARGE');
    expect(codeOf(() => decodeMend(encode({ events: large })))).toBe('TOO_LARGE');
    expect(codeOf(() => decodeMend(encode({})))).toBe('MALFORMED');
  });
});

describe('the answer to a mend', () => {
  it('has the number of events that were taken', () => {
    for (const mended of [0, 1, 500]) expect(decodeMendAnswer(encodeMendAnswer({ mended }))).toEqual({ mended });
    for (const mended of [-1, 501, '1', null, [1]])
      expect(messageOf(() => decodeMendAnswer(encode({ mended })))).toContain('answer.mended is');
    expect(codeOf(() => decodeMendAnswer(new Uint8Array(16 * 1024 + 1)))).toBe('TOO_LARGE');
  });
});
