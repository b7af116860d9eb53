import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newFolder, newHost } from '../../../support/offgrid/host.js';
import { Process, Reader, History } from '../../../support/offgrid/by-hand.js';
import { NOT_ELECTED } from '../../../../src/infra/offgrid/protocol/fields.js';
import { inHostFile } from '../../../support/offgrid/host-file.js';

/** Scrubbing takes no time in these tests. */
const FAST = { scrubBytesPerSecond: 1e9, scrubEveryMs: 20 };
/** The scrub does not begin a second round. */
const ONCE = { scrubEveryMs: 3_600_000 };

async function setUp(options: object = ONCE) {
  const folder = await newFolder();
  const host = await newHost({ folder, ...options });
  const history = History.begin().on(10, { bytes: 500 }).on(3, { bytes: 3_000 });
  const process = new Process(history.root);
  await process.claim(host);
  await process.ship(host, history);
  return { folder, host, history, process, reader: new Reader(host, history.root) };
}

const damage = (folder: string, sql: string) => inHostFile(folder, sql, 'write');

/** Each kind of damage, and the sequence of the damaged event. */
const ROT: readonly (readonly [string, number, (folder: string) => Promise<unknown>])[] = [
  ['a content', 3, (f) => damage(f, 'UPDATE events SET sealed = zeroblob(length(sealed)) WHERE sequence = 3')],
  ['a content that is gone', 3, (f) => damage(f, "UPDATE events SET sealed = x'' WHERE sequence = 3")],
  ['an address', 4, (f) => damage(f, 'UPDATE events SET eid = zeroblob(32) WHERE sequence = 4')],
  ['an address that is too short', 4, (f) => damage(f, "UPDATE events SET eid = x'00' WHERE sequence = 4")],
  ['a type', 5, (f) => damage(f, 'UPDATE events SET etype = 12 WHERE sequence = 5')],
  ['a type that there is not', 5, (f) => damage(f, 'UPDATE events SET etype = -1 WHERE sequence = 5')],
  ['a time', 6, (f) => damage(f, 'UPDATE events SET ts = ts + 1 WHERE sequence = 6')],
  ['a leaf', 7, (f) => damage(f, 'UPDATE events SET leaf = zeroblob(32) WHERE sequence = 7')],
  ['a file', 12, (f) => changeFiles(f, (path) => writeFile(path, 'rotten'))],
  ['a file that is gone', 12, (f) => changeFiles(f, (path) => rm(path))],
];

describe('damage', () => {
  it.each(ROT)('%s: only that event is missing, it is reported, and mended', async (_what, sequence, rot) => {
    const { folder, history, process, host, reader } = await setUp();
    await rot(folder);
    const events = await reader.events('?bytes=4194304');
    const sealedOf = (at: number) => events.find((event) => event.sequence === at)?.sealed;
    expect(sealedOf(sequence)).toBeNull();
    const isFile = sequence > 10;
    for (let at = 1; at <= 10; at += 1)
      if (at !== sequence) expect(sealedOf(at), `${at}`).toEqual(history.events[at - 1]!.sealed);
    const damaged = isFile ? [11, 12, 13] : [sequence];
    expect(await reader.damaged()).toEqual(damaged);
    expect(await reader.head()).toMatchObject({ tree: { sequence: 13 }, damaged: damaged.length });
    // The host continues to take batches.
    const longer = history.on(2);
    expect(await process.ship(host, longer, 14, 15)).toMatchObject({ tree: { sequence: 15 }, damaged: damaged.length });
    const wrong = history.on(3, { at: 10, name: 'b', bytes: 3_000 });
    const others = sequence > 10 ? wrong.numbered(11, 13) : [{ ...history.numbered(1, 1)[0]!, sequence }];
    expect(await reader.mend(others)).toBe(0);
    expect(await reader.mend(history.numbered(damaged[0]!, damaged.at(-1)!))).toBe(damaged.length);
    expect(await reader.head()).toMatchObject({ damaged: 0 });
    expect(await reader.damaged()).toEqual([]);
    expect(await reader.events('?bytes=4194304')).toEqual(longer.numbered(1, 15));
    expect((await reader.roots(13)).head).toEqual(history.rootAt(13));
  });

  it.each(ROT.filter(([what]) => what !== 'a leaf'))('%s is found by the scrub', async (_what, sequence, rot) => {
    const { folder, reader } = await setUp(FAST);
    await rot(folder);
    await expect.poll(() => reader.damaged()).toContain(sequence);
    expect((await reader.head()).damaged).toBeGreaterThan(0);
  });

  it('of leaves alone is mended by the scrub', async () => {
    const { folder, history, reader } = await setUp(FAST);
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32) WHERE sequence IN (2, 7, 12)');
    const leaves = () => inHostFile(folder, 'SELECT 1 FROM events WHERE leaf = zeroblob(32)');
    await expect.poll(leaves).toEqual([]);
    await expect.poll(async () => (await reader.head()).damaged).toBe(0);
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 13));
  });

  it('of leaves and of their events is mended piece by piece', async () => {
    const { folder, history, reader } = await setUp();
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32), ts = 7 WHERE sequence IN (3, 7)');
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32) WHERE sequence = 5');
    await reader.events('?bytes=4194304');
    expect(await reader.damaged()).toEqual([3, 5, 7]);
    expect(await reader.mend(history.numbered(3, 3))).toBe(0);
    expect(await reader.mend(history.numbered(7, 7))).toBe(1);
    expect(await reader.damaged()).toEqual([]);
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 13));
  });

  it('of leaves of which only one was found is reported completely once mending that one is not enough, and mended', async () => {
    const { folder, history, reader } = await setUp();
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32), ts = 7 WHERE sequence IN (3, 7)');
    await reader.events('?after=2&limit=1');
    expect(await reader.damaged()).toEqual([3]);
    expect(await reader.mend(history.numbered(3, 3))).toBe(0);
    expect(await reader.damaged()).toEqual([3, 7]);
    expect(await reader.mend(history.numbered(3, 7))).toBe(5);
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 13));
    expect(await reader.head()).toMatchObject({ damaged: 0 });
  });

  it('of a leaf of the head is mended even if a history staged beside it has the leaf intact', async () => {
    const { folder, host, history, reader } = await setUp();
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32), ts = 7 WHERE sequence = 2');
    const second = new Process(history.root, 2);
    await second.claim(host);
    const longer = history.on(2);
    // Everything is staged beside the head: by the leaves, the histories differ from the second event on.
    await second.ship(host, longer, 1, 15, { base: 99 });
    await reader.events('?bytes=4194304');
    expect(await reader.damaged()).toEqual([2]);
    expect(await reader.mend(history.numbered(2, 2))).toBe(1);
    expect(await reader.head()).toMatchObject({ damaged: 0, staged: { sequence: 15 } });
    await second.ship(host, longer, 15, 15);
    expect(await reader.events('?bytes=4194304')).toEqual(longer.numbered(1, 15));
    expect((await reader.roots(15)).head).toEqual(longer.rootAt(15));
  });

  it('that removed rows is reported, and mended', async () => {
    const { folder, host, history, reader } = await setUp();
    const free = host.freeBytes;
    await damage(folder, 'DELETE FROM events WHERE sequence IN (5, 13)');
    expect((await reader.entries()).map((entry) => entry.every((byte) => byte === 0))).toEqual(
      history.events.map((_event, i) => i === 4 || i === 12),
    );
    const events = await reader.events('?bytes=4194304');
    expect(events.map(({ sequence }) => sequence)).toEqual(history.events.map((_event, i) => i + 1));
    expect(await reader.damaged()).toEqual([5, 13]);
    await reader.mend(history.numbered(5, 5));
    expect(await reader.mend(history.numbered(13, 13))).toBe(1);
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 13));
    expect(host.freeBytes).toBe(free);
  });

  it('is mended by a batch that brings the events again', async () => {
    const { folder, history, process, reader } = await setUp();
    await damage(folder, "UPDATE events SET sealed = x'00' WHERE sequence IN (3, 9)");
    await reader.events('?bytes=4194304');
    const longer = history.on(2);
    expect(await process.ship(reader.host, longer, 1, 15)).toMatchObject({ damaged: 0 });
    expect(await reader.events('?bytes=4194304')).toEqual(longer.numbered(1, 15));
  });

  it('does not change what counts against the budget', async () => {
    const { folder, host, history, reader } = await setUp();
    const free = host.freeBytes;
    await damage(folder, 'UPDATE events SET bytes = 16000000, sealed = zeroblob(3) WHERE sequence = 3');
    await damage(folder, "UPDATE events SET bytes = 'many' WHERE sequence = 4");
    await reader.events('?bytes=4194304');
    const again = history.numbered(3, 4);
    expect(await reader.mend([...again, ...again, ...again])).toBe(2);
    expect(host.freeBytes).toBe(free);
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 13));
  });

  it('of a file that cannot be read affects only that event', async () => {
    const { folder, history, reader } = await setUp();
    await changeFiles(folder, async (path) => {
      await rm(path);
      await mkdir(path);
    });
    const events = await reader.events('?bytes=4194304');
    expect(events.slice(0, 10)).toEqual(history.numbered(1, 10));
    expect(await reader.damaged()).toEqual([11, 12, 13]);
  });

  it.each([
    ['peaks', 'head_peaks = zeroblob(length(head_peaks))'],
    ['peaks that are too few', "head_peaks = x''"],
    ['a length', 'head_sequence = 12, common = 12'],
    ['a length beyond the end', 'head_sequence = 99, common = 99'],
  ])('of %s is mended at the next start', async (_what, sql) => {
    const { folder, host, history, process } = await setUp();
    await host.close();
    await damage(folder, `UPDATE origins SET ${sql}`);
    const again = await newHost({ folder, ...ONCE });
    const reader = new Reader(again, history.root);
    expect((await reader.roots(13)).head).toEqual(history.rootAt(13));
    const longer = history.on(2);
    await process.ship(again, longer, 14, 15);
    expect(await reader.events('?bytes=4194304')).toEqual(longer.numbered(1, 15));
    expect(await reader.head()).toMatchObject({ damaged: 0, tree: { sequence: 15 } });
  });

  it('in a part of the head that a staged history contradicts is reported and mended too', async () => {
    const { folder, host, history, reader } = await setUp();
    const second = new Process(history.root, 2);
    await second.claim(host);
    const other = history.on(6, { at: 5, name: 'b' });
    await second.ship(host, other, 6, 11, { base: 99 });
    await damage(folder, 'UPDATE head_tails SET sealed = zeroblob(9) WHERE sequence = 8');
    await damage(folder, 'UPDATE events SET sealed = zeroblob(9) WHERE sequence = 9');
    await reader.events('?bytes=4194304');
    await reader.events('?of=staged');
    // The staged history is not the head.
    expect(await reader.damaged()).toEqual([8]);
    expect(await reader.mend([...history.numbered(8, 8), ...other.numbered(9, 9)])).toBe(2);
    expect(await reader.events('?of=staged')).toEqual(other.numbered(1, 11));
    expect(await reader.head()).toMatchObject({ damaged: 0 });
  });

  it('of a leaf does not make the host refuse the right history as another', async () => {
    const { folder, host, history, process } = await setUp();
    await host.close();
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32), ts = 7 WHERE sequence = 7');
    const again = await newHost({ folder, ...ONCE });
    await expect(process.ship(again, history, 9, 9)).rejects.toMatchObject({ code: 'DAMAGED', status: 500 });
    await process.ship(again, history.on(1), 14, 14);
    const reader = new Reader(again, history.root);
    expect(await reader.damaged()).toEqual([7]);
    expect(await reader.mend(history.numbered(7, 7))).toBe(1);
    await process.ship(again, history, 9, 9);
    await again.close();
    await damage(folder, 'UPDATE events SET leaf = zeroblob(32) WHERE sequence = 7');
    await process.ship(await newHost({ folder, ...ONCE }), history, 9, 9);
  });

  describe('of leaves of the staged history', () => {
    /** A host with a head of 13 events, and 5 events staged after its first ten, of which two are known to be at quorum. */
    async function setUpStaged() {
      const { folder, host, history } = await setUp();
      const other = history.on(5, { at: 10, name: 'b' });
      const second = new Process(history.root, 2);
      await second.claim(host);
      await second.ship(host, other, 11, 15, { base: NOT_ELECTED, quorum: 12 });
      await host.close();
      return { folder, longer: other.on(2), second };
    }
    const complete = { base: 15, quorum: 12 };

    it('only is mended: a batch that continues the history is taken', async () => {
      const { folder, longer, second } = await setUpStaged();
      await damage(folder, 'UPDATE events SET leaf = zeroblob(32) WHERE sequence = 12');
      const host = await newHost({ folder, ...ONCE });
      expect(await second.ship(host, longer, 16, 17, complete)).toMatchObject({ tree: { sequence: 17 }, damaged: 0 });
    });

    it('and of their events makes the host set the history aside, and take it again', async () => {
      const { folder, longer, second } = await setUpStaged();
      await damage(folder, 'UPDATE events SET leaf = zeroblob(32), ts = 7 WHERE sequence = 12');
      const host = await newHost({ folder, ...ONCE });
      const goingOn = second.ship(host, longer, 16, 17, complete);
      await expect(goingOn).rejects.toMatchObject({ code: 'GAP' });
      const head = await second.ship(host, longer, 11, 17, complete);
      expect(head).toMatchObject({ tree: { sequence: 17 }, staged: null, damaged: 0 });
    });

    it('is found by the scrub: a history that cannot be mended is set aside, and the head does not change', async () => {
      const { folder, longer } = await setUpStaged();
      await damage(folder, 'UPDATE events SET leaf = zeroblob(32), ts = 7 WHERE sequence = 14');
      const reader = new Reader(await newHost({ folder, ...FAST }), longer.root);
      await expect.poll(async () => (await reader.head()).staged).toBeNull();
      expect(await reader.head()).toMatchObject({ tree: { sequence: 13 }, damaged: 0 });
      expect(await reader.events('?bytes=4194304')).toHaveLength(13);
      expect(await inHostFile(folder, 'SELECT kind FROM evidence_trees')).toEqual([{ kind: 'SET_ASIDE' }]);
    });
  });

  it('of the stored state of an origin is reported', async () => {
    const { folder, host, history } = await setUp();
    await host.close();
    await damage(folder, 'UPDATE origins SET head = zeroblob(length(head))');
    const again = new Reader(await newHost({ folder }), history.root);
    await expect(again.head()).rejects.toMatchObject({ code: 'DAMAGED' });
    // The metrics of the other origins are reported.
    const metrics = await fetch(`${again.host.url}/metrics`);
    expect(metrics.status).toBe(200);
  });
});

async function changeFiles(folder: string, change: (path: string) => Promise<void>): Promise<void> {
  const blobs = join(folder, 'blobs');
  for (const entry of await readdir(blobs, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) await change(join(entry.parentPath, entry.name));
}
