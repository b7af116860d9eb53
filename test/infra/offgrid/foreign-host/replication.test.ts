import { describe, expect, it } from 'vitest';
import { isReplicated } from '../../../../src/domain/event.js';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import type { EventLog } from '../../../../src/infra/eventlog/eventlog.js';
import { ForeignHost } from '../../../support/offgrid/foreign-host.js';
import { readBackForTest } from '../../../support/offgrid/reading-back.js';
import { ReplicatingCore, RestartableHost, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';

const TIMEOUT_MS = 600_000;

/** The replicated events of a log, without the fields that differ between logs. */
async function eventsOf(log: EventLog): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const event of log.readAll()) {
    const { id, stream, revision, type, data, metadata } = event;
    if (isReplicated(event)) found.push({ id, stream, revision, type, data, metadata });
  }
  return found;
}

/** Three hosts in Python and a core that has replicated events to all of them. */
async function setUp({ events = 10, required = 2 } = {}) {
  const [a, b, c] = [await ForeignHost.start(), await ForeignHost.start(), await ForeignHost.start()];
  const settings = { hosts: wanted(a, b, c), required };
  const core = await ReplicatingCore.start(settings);
  await core.record(events);
  const length = await core.settles();
  for (const host of [a, b, c]) await expect.poll(() => lengthAt(host, core), WAIT).toBe(length);
  return { a, b, c, core, settings, length };
}

type AnyHost = Pick<ForeignHost, 'head'>;
const treeAt = async (host: AnyHost, { root }: ReplicatingCore) => (await host.head(root)).tree;
const lengthAt = async (host: AnyHost, core: ReplicatingCore) => (await treeAt(host, core))?.sequence;
const epochAt = async (host: AnyHost, core: ReplicatingCore) => (await treeAt(host, core))?.epoch;

describe('a core whose hosts are all in Python', { timeout: TIMEOUT_MS }, () => {
  it('has everything at quorum, under a policy that names them', async () => {
    const { a, b, c, core, length } = await setUp({ events: 20, required: 3 });
    expect(length).toBe(22);
    const heads = await Promise.all([a, b, c].map((host) => host.head(core.root)));
    expect(new Set(heads.map(({ tree }) => toHex(tree!.root))).size).toBe(1);
    for (const head of heads) expect(head).toMatchObject({ tree: { epoch: 1, line: 1 }, staged: null, damaged: 0 });
    const [inForce] = (await core.known()).policies;
    expect(inForce?.policy.hosts.map(({ host }) => host)).toEqual([a.id, b.id, c.id]);
    expect(core.halted).toBeUndefined();
  });

  it('ships many events, and large ones, while hosts are killed and restarted', async () => {
    const { a, b, c, core, length } = await setUp({ required: 3 });
    for (const host of [a, b, c]) {
      await core.record(300, 'small');
      await core.record(5, 'large', 200_000);
      await host.restart();
    }
    expect(await core.settles()).toBe(length + 3 * 305);
    for (const host of [a, b, c]) {
      await expect.poll(() => lengthAt(host, core), WAIT).toBe(length + 3 * 305);
      // Acknowledged events are on the disk even if the host is killed immediately.
      await host.restart();
      expect(await lengthAt(host, core)).toBe(length + 3 * 305);
    }
  });

  it('continues in another process, in an epoch that they have granted', async () => {
    const { a, b, c, core, settings, length } = await setUp({ required: 3 });
    await core.stop();
    const next = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    for (const host of [a, b, c]) await expect.poll(() => epochAt(host, core), WAIT).toBe(2);
    expect(await next.known()).toMatchObject({ quorum: length, elected: { epoch: 2, base: length } });
    await next.record(40);
    expect(await next.settles()).toBe(length + 40);
    // A core that stops ships the new quorum too, but waits at most two seconds for that.
    for (const host of [a, b, c])
      await expect.poll(async () => (await treeAt(host, core))?.quorum, WAIT).toBe(length + 40);
    await next.stop();
  });

  it('stages events at one host before the election, which the second host decides', async () => {
    const { a, b, c, core, settings, length } = await setUp();
    await core.stop();
    await Promise.all([b.kill(), c.kill()]);
    const next = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await next.record(4);
    await expect.poll(async () => (await a.head(core.root)).staged?.sequence, WAIT).toBe(length + 4);
    await a.restart();
    expect(await a.head(core.root)).toMatchObject({
      ...{ tree: { epoch: 1, sequence: length }, claim: { epoch: 2 }, staged: { epoch: 2, sequence: length + 4 } },
    });
    expect(await next.known()).toMatchObject({ quorum: length, elected: { epoch: 1 } });
    await b.restart();
    expect(await next.settles()).toBe(length + 4);
    expect(await a.head(core.root)).toMatchObject({ tree: { epoch: 2, sequence: length + 4 }, staged: null });
    await c.restart();
    await expect.poll(() => lengthAt(c, core), WAIT).toBe(length + 4);
  });

  it('halts on an old copy of its folder, which is BEHIND the hosts', async () => {
    const { core, settings, length } = await setUp();
    await core.stop();
    const copy = await core.copy();
    const original = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await original.record(3);
    expect(await original.settles()).toBe(length + 3);
    const old = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    await old.record(2);
    await expect.poll(() => old.halted?.code, WAIT).toBe('BEHIND');
    await original.record(2);
    expect(await original.settles()).toBe(length + 5);
  });

  it('is restored from them alone, and continues', async () => {
    const { a, b, c, core, settings, length } = await setUp({ events: 700 });
    const all = await eventsOf(core.log);
    await core.stop();
    await Promise.all([a, b, c].map((host) => host.restart()));
    const read = await readBackForTest({ root: core.root, hosts: [a, b, c] });
    expect(read).toMatchObject({ length, base: length, quorum: length, quorumEpoch: 1, mayLie: 1 });
    expect(await eventsOf(read.log)).toEqual(all);
    expect([read.troubles, read.leftOut]).toEqual([[], []]);
    await c.kill();
    const fromTwo = await readBackForTest({ root: core.root, hosts: [a, b] });
    expect(await eventsOf(fromTwo.log)).toEqual(all);

    await fromTwo.log.close();
    await c.restart();
    const next = await ReplicatingCore.start({ ...settings, folder: fromTwo.folder, root: core.root });
    await next.record(3);
    // Its policy is recorded again.
    expect(await next.settles()).toBe(length + 4);
    expect((await eventsOf(next.log)).slice(0, length)).toEqual(all);
  });
});

describe('a core with one host in Python beside two of the product', { timeout: TIMEOUT_MS }, () => {
  it('has at quorum only events that the host in Python has signed for', async () => {
    const [a, b, foreign] = [await RestartableHost.start(), await RestartableHost.start(), await ForeignHost.start()];
    const settings = { hosts: wanted(a, b, foreign), required: 3 };
    const core = await ReplicatingCore.start(settings);
    await core.record(50);
    const length = await core.settles();
    await foreign.kill();
    await core.record(7);
    for (const host of [a, b]) await expect.poll(() => lengthAt(host, core), WAIT).toBe(length + 7);
    expect(await core.known()).toMatchObject({ quorum: length });
    await foreign.restart();
    expect(await core.settles()).toBe(length + 7);
    await core.stop();
    const next = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await next.record(2);
    expect(await next.settles()).toBe(length + 9);
    for (const host of [a, b, foreign])
      await expect.poll(() => treeAt(host, core), WAIT).toMatchObject({ epoch: 2, sequence: length + 9 });
    const all = await eventsOf(next.log);
    await next.stop();
    const read = await readBackForTest({ root: core.root, hosts: [foreign] });
    expect(await eventsOf(read.log)).toEqual(all);
  });
});
