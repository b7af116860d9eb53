import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { MerkleFrontier } from '../../../../src/domain/merkle.js';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import { sha256 } from '../../../../src/infra/crypto/sha256.js';
import { LocalTree } from '../../../../src/infra/offgrid/replication/local-tree.js';
import type { EnvelopeCache } from '../../../../src/infra/offgrid/replication/envelope-cache.js';
import { SqliteFrontiers } from '../../../../src/infra/offgrid/replication/sqlite-frontiers.js';
import { encodeEntry } from '../../../../src/infra/offgrid/protocol/entry.js';
import type { AddressedEvent } from '../../../../src/infra/offgrid/protocol/event.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';

/** The number of events: more than lie between two cached frontiers. */
const COUNT = 1_500;
const KEPT = 1_024;

const events = Array.from({ length: COUNT }, (_, i): AddressedEvent => {
  const sealed = Buffer.from(`event ${i + 1}`);
  return { sequence: i + 1, etype: 10 + (i % 7), ts: 1_000 * i, sealed, eid: sha256(sealed) };
});

function rootOf(count: number): string {
  const tree = new MerkleFrontier(sha256);
  for (const event of events.slice(0, count)) tree.append(encodeEntry(event));
  return toHex(tree.root());
}

/** Counts the events that are taken from the window. */
class Window implements Pick<EnvelopeCache, 'take'> {
  taken = 0;

  take(after: number, maxEvents: number): Promise<readonly AddressedEvent[]> {
    const taken = events.slice(after, after + maxEvents);
    this.taken += taken.length;
    return Promise.resolve(taken);
  }
}

let path: string;
let cache: SqliteFrontiers;
let window: Window;
let tree: LocalTree;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sheratan-tree-'));
  path = join(folder, 'frontiers.db');
  cache = await SqliteFrontiers.open(path, 'a log');
  onTestFinished(async () => {
    await cache.close();
    await rm(folder, { recursive: true });
  });
  window = new Window();
  tree = new LocalTree(window, cache);
});

const root = async (size: number, recompute = false) => {
  const found = await tree.at(size, recompute);
  return found && toHex(found.root());
};

describe('the tree of the local events of a log', () => {
  it('has the root of the first events, at any size, and is undefined beyond the last', async () => {
    for (const size of [0, 1, 2, 511, KEPT - 1, KEPT, KEPT + 1, COUNT]) expect(await root(size)).toBe(rootOf(size));
    expect(await tree.at(COUNT + 1)).toBeUndefined();
  });

  it('covers the type and the time of each event', async () => {
    const kept = await root(COUNT);
    for (const change of [{ etype: 99 }, { ts: -1 }]) {
      const changed = events.map((event, i) => (i === COUNT - 2 ? { ...event, ...change } : event));
      const take = (after: number, most: number) => Promise.resolve(changed.slice(after, after + most));
      const other = await new LocalTree({ take }, cache).at(COUNT);
      expect(other && toHex(other.root())).not.toBe(kept);
    }
  });

  it('reports its progress, to the end', async () => {
    const reported: number[][] = [];
    const reporting = new LocalTree(window, cache, (size, of) => reported.push([size, of]));
    await reporting.at(COUNT, true);
    expect(reported.at(-1)).toEqual([COUNT, COUNT]);
    expect(reported.length).toBeGreaterThan(1);
  });

  it('is not computed again from the beginning', async () => {
    await tree.at(COUNT);
    window.taken = 0;
    expect(await root(KEPT + 10)).toBe(rootOf(KEPT + 10));
    // The next events, and the last event of the cached frontier.
    expect(window.taken).toBe(11);
  });

  it('grows by the next events, the same for every caller, and does not change the tree it grew from', async () => {
    const from = (await tree.at(1_000))!;
    const batch = events.slice(1_000, 1_200);
    const [one, other] = [await tree.grown(from, batch), await tree.grown(from.copy(), batch)];
    expect([toHex(one.root()), toHex(other.root())]).toEqual([rootOf(1_200), rootOf(1_200)]);
    expect(toHex(from.root())).toBe(rootOf(1_000));
    expect(await cache.below(COUNT)).toMatchObject({ frontier: { size: KEPT } });
  });

  it('grows from its own beginning, although other trees of its size grew too', async () => {
    const right = (await tree.at(100))!;
    const wrong = new MerkleFrontier(sha256);
    for (const event of events.slice(1, 101)) wrong.append(encodeEntry(event));
    const batch = events.slice(100, 200);
    expect(toHex((await tree.grown(wrong, batch)).root())).not.toBe(rootOf(200));
    expect(toHex((await tree.grown(right, batch)).root())).toBe(rootOf(200));
  });
});

describe('the cached frontiers of the tree', () => {
  it('may be wrong: computed again the tree is right, and the cache is corrected', async () => {
    await tree.grown((await tree.at(1_000))!, events.slice(1_000, COUNT));
    const wrong = new MerkleFrontier(sha256, KEPT, [new Uint8Array(32)]);
    await cache.put({ frontier: wrong, lastEntry: encodeEntry(events[KEPT - 1]!) });
    expect(await root(COUNT)).not.toBe(rootOf(COUNT));
    expect(await root(COUNT, true)).toBe(rootOf(COUNT));
    expect(await root(COUNT)).toBe(rootOf(COUNT));
  });

  it.each(["x'0102'", "x''", 'zeroblob(length(peaks))', "cast(peaks || x'00' AS BLOB)"])(
    'may rot: %s is not taken for a frontier, because trees computed from it are signed',
    async (rotten) => {
      await tree.at(COUNT);
      const file = await Connection.open(path, 'write');
      await file.run(`UPDATE frontiers SET peaks = ${rotten}`, []);
      await file.close();
      expect(await cache.below(COUNT)).toBeUndefined();
      expect(await root(COUNT)).toBe(rootOf(COUNT));
      expect(await cache.below(COUNT)).toMatchObject({ frontier: { size: KEPT } });
    },
  );

  it('may rot in the last one only: the one before is taken', async () => {
    await cache.put({ frontier: (await tree.at(10))!, lastEntry: encodeEntry(events[9]!) });
    await tree.at(COUNT);
    const file = await Connection.open(path, 'write');
    await file.run(`UPDATE frontiers SET peaks = zeroblob(64) WHERE size = ${KEPT}`, []);
    await file.close();
    expect(await cache.below(COUNT)).toMatchObject({ frontier: { size: 10 } });
  });

  it('may be of a history that the log has left: those before the divergence are taken', async () => {
    const branch = [...events, ...events].map((event, i) => ({ ...event, sequence: i + 1 }));
    const leaving = KEPT + 100;
    const isOther = (i: number) => i >= leaving;
    const others = branch.map((event, i) => (isOther(i) ? { ...event, ts: -i } : event));
    const taken = (list: readonly AddressedEvent[]) => ({
      count: 0,
      take(after: number, most: number) {
        this.count += Math.min(most, list.length - after);
        return Promise.resolve(list.slice(after, after + most));
      },
    });
    const size = 2 * KEPT + 50;
    const before = (await new LocalTree(taken(branch), cache).at(size))!;
    const window = taken(others);
    const after = (await new LocalTree(window, cache).at(size))!;
    expect(toHex(after.root())).not.toBe(toHex(before.root()));
    expect(toHex(after.root())).toBe(toHex((await new LocalTree(taken(others), cache).at(size, true))!.root()));
    expect(window.count).toBe(size - KEPT + 2);
    // The history that the log has left is not used again.
    expect(toHex((await new LocalTree(taken(others), cache).at(size))!.root())).toBe(toHex(after.root()));
  });

  it('may be of a history that is shorter now', async () => {
    await tree.at(COUNT);
    const short = events.slice(0, KEPT - 1);
    const window = { take: (after: number, most: number) => Promise.resolve(short.slice(after, after + most)) };
    expect(await new LocalTree(window, cache).at(KEPT)).toBeUndefined();
    const found = await new LocalTree(window, cache).at(KEPT - 1);
    expect(found && toHex(found.root())).toBe(rootOf(KEPT - 1));
  });

  it('are discarded when another build wrote them', async () => {
    await cache.close();
    const file = await Connection.open(path, 'write');
    await file.exec('DROP TABLE frontiers; CREATE TABLE frontiers (size INTEGER PRIMARY KEY, peaks BLOB NOT NULL);');
    await file.exec("INSERT INTO frontiers VALUES (1024, x'00'); PRAGMA user_version = 0;");
    await file.close();
    cache = await SqliteFrontiers.open(path, 'a log');
    expect(await cache.below(COUNT)).toBeUndefined();
    await new LocalTree(window, cache).at(COUNT);
    expect(await cache.below(COUNT)).toMatchObject({ frontier: { size: KEPT } });
  });

  it('may not fit on the disk', async () => {
    const file = await Connection.open(path, 'write');
    await file.exec(
      'DROP TABLE frontiers; CREATE TABLE frontiers (size INTEGER PRIMARY KEY CHECK (size < 0), last_entry, peaks);',
    );
    await file.close();
    expect(await root(COUNT)).toBe(rootOf(COUNT));
    expect(await cache.below(COUNT)).toBeUndefined();
  });
});
