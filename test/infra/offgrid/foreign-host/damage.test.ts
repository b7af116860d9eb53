import { describe, expect, it } from 'vitest';
import { ForeignHost } from '../../../support/offgrid/foreign-host.js';
import { History, Process, Reader } from '../../../support/offgrid/by-hand.js';
import { inHostFile } from '../../../support/offgrid/host-file.js';
import { ReplicatingCore, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';

async function setUp() {
  const host = await ForeignHost.start();
  const history = History.begin().on(10, { bytes: 500 }).on(3, { bytes: 3_000 });
  const process = new Process(history.root);
  await process.claim(host);
  await process.ship(host, history);
  return { host, history, process, reader: new Reader(host, history.root) };
}

const damage = ({ folder }: ForeignHost, sql: string) => inHostFile(folder, sql, 'write');
/** A host reads its disk while there are no requests. */
const SELDOM = { timeout: 100_000, interval: 500 };
const isZero = (entry: Uint8Array) => entry.every((byte) => byte === 0);

describe('damage at a host in Python', { timeout: 240_000 }, () => {
  it.each([
    ['a content', 'SET sealed = zeroblob(length(sealed))', false],
    ['a missing content', "SET sealed = x''", false],
    ['an address', 'SET eid = zeroblob(32)', true],
    ['a type', 'SET etype = 12', true],
    ['an invalid type', 'SET etype = -1', true],
    ['a time', 'SET ts = ts + 1', true],
  ])('%s: only that event is missing; it is reported, and mended', async (_what, set, isEntryGone) => {
    const { host, history, process, reader } = await setUp();
    await damage(host, `UPDATE event ${set} WHERE sequence = 4`);
    const events = await reader.events('?bytes=4194304');
    expect(events.map(({ sealed }) => sealed === null)).toEqual(history.events.map((_event, i) => i === 3));
    expect((await reader.entries()).map(isZero)).toEqual(history.events.map((_event, i) => isEntryGone && i === 3));
    expect(await reader.damaged()).toEqual([4]);
    expect(await reader.head()).toMatchObject({ tree: { sequence: 13 }, damaged: 1 });
    await host.restart();
    expect(await reader.head()).toMatchObject({ damaged: 1 });
    const longer = history.on(2);
    expect(await process.ship(host, longer, 14, 15)).toMatchObject({ tree: { sequence: 15 }, damaged: 1 });
    const wrong = { ...history.numbered(5, 5)[0]!, sequence: 4 };
    expect(await reader.mend([wrong])).toBe(0);
    expect(await reader.mend(history.numbered(3, 5))).toBe(3);
    expect(await reader.head()).toMatchObject({ damaged: 0 });
    expect(await reader.events('?bytes=4194304')).toEqual(longer.numbered(1, 15));
  });

  it('is found without a request', async () => {
    const { host, reader } = await setUp();
    await damage(host, "UPDATE event SET sealed = x'' WHERE sequence IN (2, 12)");
    await expect.poll(() => reader.damaged(), SELDOM).toEqual([2, 12]);
    expect((await reader.head()).damaged).toBe(2);
  });

  it('is mended by a batch with the same events', async () => {
    const { host, history, process, reader } = await setUp();
    await damage(host, "UPDATE event SET sealed = x'00' WHERE sequence IN (3, 9)");
    await reader.events('?bytes=4194304');
    expect(await process.ship(host, history, 1, 13)).toMatchObject({ damaged: 0 });
    expect(await reader.events('?bytes=4194304')).toEqual(history.numbered(1, 13));
  });

  it('of a leaf does not make the host refuse valid batches, unless the event is damaged too', async () => {
    const { host, history, process, reader } = await setUp();
    await damage(host, 'UPDATE event SET leaf = zeroblob(32) WHERE sequence = 7');
    await host.restart();
    await process.ship(host, history.on(1), 14, 14);
    await damage(host, 'UPDATE event SET leaf = zeroblob(32), ts = 7 WHERE sequence = 7');
    await host.restart();
    await expect(process.ship(host, history, 9, 9)).rejects.toMatchObject({ code: 'DAMAGED', status: 500 });
    expect((await reader.head()).damaged).toBeGreaterThan(0);
  });

  it('is mended by the core that shipped the events', async () => {
    const hosts = [await ForeignHost.start(), await ForeignHost.start()] as const;
    const core = await ReplicatingCore.start({ hosts: wanted(...hosts), required: 1 });
    await core.record(12);
    const length = await core.settles();
    const damagedAt = async () => (await hosts[0].head(core.root)).damaged;
    await expect.poll(async () => (await hosts[0].head(core.root)).tree?.sequence, WAIT).toBe(length);
    await damage(hosts[0], "UPDATE event SET sealed = x'00' WHERE sequence IN (2, 5)");
    // The damage may be found and mended before this test looks: only the mended state is checked.
    const damagedRows = () => inHostFile(hosts[0].folder, "SELECT sequence FROM event WHERE sealed = x'00'");
    await expect.poll(damagedRows, SELDOM).toEqual([]);
    await expect.poll(damagedAt, SELDOM).toBe(0);
  });
});
