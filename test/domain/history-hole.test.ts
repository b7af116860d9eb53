import { describe, expect, it } from 'vitest';
import { HolePlaces, isHistoryHole, MAX_HOLES } from '../../src/domain/history-hole.js';

/** The stream and revision of each event; undefined for a missing one. */
type Place = readonly [stream: string, revision: number] | null;

/** The places of the missing events of a history, given the last revisions of streams before it. */
function placesOf(events: readonly Place[], heads: Readonly<Record<string, number>> = {}) {
  const places = new HolePlaces();
  for (const [stream, revision] of Object.entries(heads)) places.begin(stream, BigInt(revision));
  const missing: number[] = [];
  for (const [i, one] of events.entries()) {
    if (one === null) missing.push(i + 1);
    else places.note(i + 1, { stream: one[0], revision: BigInt(one[1]) });
  }
  const found = places.of(missing);
  return found && [...found].map(([sequence, { stream, revision }]) => `${sequence} ${stream} ${revision}`);
}

describe('the place of a missing event', () => {
  it('is the revision that its stream lacks', () => {
    expect(placesOf([['a', 0], null, ['b', 0], ['a', 2]])).toEqual(['2 a 1']);
    expect(placesOf([null, ['a', 1]])).toEqual(['1 a 0']);
    expect(placesOf([null, ['a', 8]], { a: 6 })).toEqual(['1 a 7']);
  });

  it('is unknown when it was the last of its stream', () => {
    expect(placesOf([['a', 0], null, ['b', 0]])).toEqual([]);
  });

  it('is chosen so that every missing event can have one', () => {
    // Event 2 may belong to either stream, event 4 only to `a`.
    expect(placesOf([['a', 0], null, ['b', 1], null, ['a', 2]])).toEqual(['2 b 0', '4 a 1']);
    // Two of one stream keep their order.
    expect(placesOf([['a', 0], null, null, ['a', 3]])).toEqual(['2 a 1', '3 a 2']);
    // The gap that ends first is filled first.
    expect(placesOf([null, null, ['b', 1], ['a', 1]])).toEqual(['1 b 0', '2 a 0']);
  });

  it('is not found when there are more gaps than missing events', () => {
    expect(placesOf([['a', 0], null, ['a', 3]])).toBeUndefined();
    expect(placesOf([['a', 0], ['a', 2], null])).toBeUndefined();
    expect(placesOf([null, ['a', Number.MAX_SAFE_INTEGER]])).toBeUndefined();
    expect(MAX_HOLES).toBe(10_000);
  });
});

describe('a hole', () => {
  const hole = { origin: 'o', sequence: 3, etype: 10, ts: -1, eid: 'ab'.repeat(32) };
  it('has its data', () => {
    expect(isHistoryHole(hole)).toBe(true);
    for (const wrong of [
      { origin: 1 },
      { sequence: '3' },
      { etype: 1.5 },
      { ts: null },
      { eid: 'AB'.repeat(32) },
      { eid: 'ab' },
    ])
      expect(isHistoryHole({ ...hole, ...wrong }), JSON.stringify(wrong)).toBe(false);
  });
});
