import { describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { HistoryFrontiers } from '../../../../src/infra/offgrid/host/history-frontiers.js';
import type { Places, ReplicaStore } from '../../../../src/infra/offgrid/host/replica-store.js';
import { encodeEntry, entryOf, leafHash } from '../../../../src/infra/offgrid/protocol/entry.js';
import type { HistoryName } from '../../../../src/infra/offgrid/protocol/queries.js';
import { History, ORIGIN } from '../../../support/offgrid/by-hand.js';

const head = History.begin().on(5_000);
const staged = head.on(100, { at: 4_500, name: 'b' });
const histories: Readonly<Record<HistoryName, History>> = { head, staged };
const leaves = {
  head: head.events.map((event) => leafHash(encodeEntry(entryOf(event)))),
  staged: staged.events.map((event) => leafHash(encodeEntry(entryOf(event)))),
};
const place = (history: History) => ({ sequence: history.length + 1, peaks: [] });
/** The histories are one event longer than the sizes requested, so that stored peaks are never used. */
const PLACES: Places = { head: place(head), staged: place(staged), common: 4_500 };

/** Counts the leaves that are read. */
function newFrontiers() {
  const read = { leaves: 0 };
  const store = {
    leaves: (_origin: string, of: HistoryName, from: number, to: number) => {
      read.leaves += to - from + 1;
      return Promise.resolve(Buffer.concat(leaves[of].slice(from - 1, to)));
    },
  } as unknown as ReplicaStore;
  const frontiers = new HistoryFrontiers(ORIGIN, store);
  const check = async (size: number, of: HistoryName) => {
    const before = read.leaves;
    const frontier = await frontiers.at(size, of, PLACES);
    expect(toHex(frontier.root()), `${of} ${size}`).toBe(toHex(histories[of].rootAt(size)));
    return read.leaves - before;
  };
  return { frontiers, check };
}

describe('the trees of a host', () => {
  it('are computed from the leaves, of both histories, in any order', async () => {
    const { check } = newFrontiers();
    for (const size of [4_999, 1, 4_096, 4_097, 4_500, 3, 4_550])
      for (const of of ['head', 'staged'] as const) if (size <= histories[of].length) await check(size, of);
  });

  it('near a recently requested size read only the leaves between: each batch requests that of its quorum', async () => {
    const { check } = newFrontiers();
    expect(await check(4_000, 'head')).toBe(4_000);
    for (const size of [4_001, 4_002, 4_005]) expect(await check(size, 'head')).toBe(size === 4_005 ? 3 : 1);
    expect(await check(4_510, 'staged')).toBeGreaterThan(0);
    expect(await check(4_512, 'staged')).toBe(2);
    // Frontiers of the staged history beyond the common part are not valid for the head.
    expect(await check(4_512, 'head')).toBeGreaterThan(2);
  });

  it('are computed again after they were forgotten', async () => {
    const { check, frontiers } = newFrontiers();
    await check(4_010, 'head');
    await check(4_520, 'staged');
    frontiers.forget(4_005);
    expect(await check(4_011, 'head')).toBe(4_011);
    expect(await check(4_521, 'staged')).toBeGreaterThan(1);
  });
});
