import { isDeepStrictEqual } from 'node:util';
import { encode } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBatch, encodeBatch, MAX_BATCH_EVENTS } from '../../../../src/infra/offgrid/protocol/batch.js';
import { MAX_BODY_BYTES } from '../../../../src/infra/offgrid/protocol/fields.js';
import { openTree, signTree } from '../../../../src/infra/offgrid/protocol/tree.js';
import {
  codeOf,
  eventLimits,
  flipped,
  messageOf,
  newKeys,
  sealedEvents,
  sequenceLimits,
  sequences,
  trees,
  without,
  withMember,
} from '../../../support/offgrid/protocol-2.js';

const { privateKey, verifyKey } = newKeys();
const [sample] = fc.sample(trees, 1);
const tree = signTree(sample!, privateKey);
const event = { ts: 0, etype: 10, sealed: new Uint8Array(121) };
const body = { from: 1, tree: [tree.content, tree.signature], events: [event] };
const decode = (map: unknown) => decodeBatch(encode(map));

describe('a batch', () => {
  it('decodes to the value that was encoded', () => {
    fc.assert(
      fc.property(sequences, trees, fc.array(sealedEvents, { maxLength: 20 }), (from, given, events) => {
        const batch = { from, tree: signTree(given, privateKey), events };
        const decoded = decodeBatch(encodeBatch(batch));
        expect(decoded).toEqual(batch);
        expect(openTree(decoded.tree, verifyKey).value).toEqual(given);
        expect(Buffer.from(encodeBatch(batch))).toEqual(
          Buffer.from(encode({ from, tree: [batch.tree.content, batch.tree.signature], events })),
        );
      }),
    );
  });

  it('with a changed bit is refused, or is another batch, or has a tree that does not open', () => {
    const whole = encodeBatch({ from: 1, tree, events: [event] });
    fc.assert(
      fc.property(fc.nat(), (at) => {
        const decoded = codeOf(() => decodeBatch(flipped(whole, at)));
        expect(decoded).not.toEqual({ from: 1, tree, events: [event] });
      }),
      { numRuns: 500 },
    );
  });

  describe.each(Object.entries(eventLimits))('the %s of an event', (name, { inside, outside }) => {
    it('is within its limits', () => {
      for (const value of inside) {
        const changed = withMember(event, name, value);
        // Quicker than the matcher, which compares a MiB byte by byte.
        expect(isDeepStrictEqual(decode({ ...body, events: [changed] }).events, [changed])).toBe(true);
      }
    });

    it('is refused beyond them, and when it is missing', () => {
      // Without its content it is a hole.
      for (const value of [undefined, ...outside].filter((one) => one !== null || name !== 'sealed')) {
        const changed = value === undefined ? without(event, name) : withMember(event, name, value);
        const refused = () => decode({ ...body, events: [event, changed] });
        expect(codeOf(refused)).toBe('MALFORMED');
        expect(messageOf(refused)).toContain(`body.events[1].${name} is`);
      }
    });
  });

  it('may have holes, which state their address', () => {
    const hole = { ts: 0, etype: 10, sealed: null, eid: new Uint8Array(32) };
    expect(decode({ ...body, events: [event, hole] }).events).toEqual([event, hole]);
    expect(decodeBatch(encodeBatch({ from: 1, tree, events: [hole, event] })).events).toEqual([hole, event]);
    for (const eid of [undefined, null, new Uint8Array(31), new Uint8Array(33), '00'.repeat(32)])
      expect(
        messageOf(() =>
          decode({ ...body, events: [{ ...without(hole, 'eid'), ...(eid === undefined ? {} : { eid }) }] }),
        ),
      ).toContain('body.events[0].eid is');
  });

  it('begins at 1 or later', () => {
    for (const from of sequenceLimits.inside) expect(decode({ ...body, from }).from).toBe(from);
    for (const from of sequenceLimits.outside)
      expect(messageOf(() => decode({ ...body, from }))).toContain('body.from is');
  });

  it('has 0 to 500 events', () => {
    const counted = (count: number) => ({ ...body, events: Array<unknown>(count).fill(event) });
    expect(decode(counted(0)).events).toEqual([]);
    expect(decode(counted(MAX_BATCH_EVENTS)).events).toHaveLength(500);
    expect(messageOf(() => decode(counted(MAX_BATCH_EVENTS + 1)))).toBe(
      'body.events is an array of 501 values; it must be an array of at most 500 values',
    );
    const events = Array.from({ length: 501 }, () => event);
    expect(codeOf(() => encodeBatch({ from: 1, tree, events }))).toBe('MALFORMED');
  });

  it('has at most 8 MiB', () => {
    const sized = (last: number) => {
      const events = [...Array<number>(7).fill(1_052_672), last];
      return { from: 1, tree, events: events.map((bytes) => ({ ...event, sealed: new Uint8Array(bytes) })) };
    };
    const overhead = encodeBatch(sized(1_000_000)).byteLength - 1_000_000;
    const largest = encodeBatch(sized(MAX_BODY_BYTES - overhead));
    expect(largest.byteLength).toBe(MAX_BODY_BYTES);
    expect(decodeBatch(largest).events).toHaveLength(8);
    expect(codeOf(() => encodeBatch(sized(MAX_BODY_BYTES - overhead + 1)))).toBe('TOO_LARGE');
    expect(codeOf(() => decodeBatch(new Uint8Array(MAX_BODY_BYTES + 1)))).toBe('TOO_LARGE');
    expect(codeOf(() => decodeBatch(new Uint8Array(MAX_BODY_BYTES)))).toBe('MALFORMED');
  });

  it('requires its members, and ignores others', () => {
    for (const name of ['from', 'tree', 'events'])
      expect(messageOf(() => decode(without(body, name)))).toContain(`body.${name} is missing`);
    const more = { ...body, later: 1, events: [{ ...event, later: [null] }] };
    expect(decode(more)).toEqual({ from: 1, tree, events: [event] });
    for (const other of [null, 1, [], 'x'])
      expect(messageOf(() => decode({ ...body, events: [other] }))).toContain('body.events[0] is');
  });

  it('is never decoded from noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        expect(codeOf(() => decodeBatch(noise))).toBe('MALFORMED');
      }),
    );
  });

  it('of 500 events of 600 bytes is decoded in far less than a millisecond an event', () => {
    const events = Array.from({ length: 500 }, (_, i) => ({ ts: i, etype: 10, sealed: new Uint8Array(600).fill(i) }));
    const large = encodeBatch({ from: 1, tree, events });
    const tookMs = Array.from({ length: 5 }, () => {
      const before = performance.now();
      decodeBatch(large);
      return performance.now() - before;
    });
    expect(Math.min(...tookMs)).toBeLessThan(100);
  });
});
