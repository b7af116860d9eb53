import { isDeepStrictEqual } from 'node:util';
import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeStoredEvents,
  encodeStoredEvent,
  MAX_ANSWER_EVENTS,
} from '../../../../src/infra/offgrid/protocol/events-answer.js';
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

const event = { ts: 0, etype: 10, sealed: null, sequence: 1 };
const limits = {
  ...eventLimits,
  sealed: {
    inside: [null, ...eventLimits['sealed']!.inside],
    outside: eventLimits['sealed']!.outside.filter((each) => each !== null),
  },
  sequence: sequenceLimits,
};
const storedEvents = fc
  .tuple(sealedEvents, sequences, fc.boolean())
  .map(([each, sequence, isDamaged]) => ({ ...each, sealed: isDamaged ? null : each.sealed, sequence }));

describe('the events of a host', () => {
  it('decode to the values that were encoded, one after the other', () => {
    fc.assert(
      fc.property(fc.array(storedEvents, { maxLength: 20 }), (events) => {
        expect(decodeStoredEvents(Buffer.concat(events.map(encodeStoredEvent)))).toEqual(events);
      }),
    );
  });

  it.each(Object.entries(limits))('have a limit for the %s', (name, { inside, outside }) => {
    const decode = (changed: unknown) => decodeStoredEvents(Buffer.concat([encode(event), encode(changed)]));
    for (const value of inside) {
      const changed = withMember(event, name, value);
      expect(isDeepStrictEqual(decode(changed)[1], changed)).toBe(true);
    }
    for (const value of outside)
      expect(messageOf(() => decode(withMember(event, name, value)))).toContain(`events[1].${name} is`);
    expect(messageOf(() => decode(without(event, name)))).toContain(`events[1].${name} is missing`);
  });

  it('are at most 1,000, in 8 MiB', () => {
    const repeated = (count: number) => Buffer.concat(Array.from({ length: count }, () => encodeStoredEvent(event)));
    expect(decodeStoredEvents(repeated(MAX_ANSWER_EVENTS))).toHaveLength(1000);
    expect(codeOf(() => decodeStoredEvents(repeated(MAX_ANSWER_EVENTS + 1)))).toBe('MALFORMED');
    expect(codeOf(() => decodeStoredEvents(new Uint8Array(8 * 1024 * 1024 + 1)))).toBe('TOO_LARGE');
  });

  it('that are cut short are refused', () => {
    fc.assert(
      fc.property(storedEvents, fc.nat(), (given, at) => {
        const whole = encodeStoredEvent(given);
        const cut = whole.subarray(0, 1 + (at % (whole.byteLength - 1)));
        expect(codeOf(() => decodeStoredEvents(cut))).toBe('MALFORMED');
      }),
    );
  });
});
