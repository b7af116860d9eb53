import { describe, expect, it } from 'vitest';
import { newHost } from '../../../support/offgrid/host.js';
import { LyingHost, type LieName } from '../../../support/offgrid/lying-host.js';
import { inHostFile } from '../../../support/offgrid/host-file.js';
import { readBackForTest, readWithLoss } from '../../../support/offgrid/reading-back.js';
import { copyOf, ReplicatingCore, RestartableHost, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { replicatedEvents, threeHosts } from '../../../support/offgrid/three-hosts.js';

describe('what is read back', () => {
  it('is everything that was replicated, with what it rests on', { timeout: 240_000 }, async () => {
    const { a, b, c, root, length, all } = await threeHosts({ events: 1_500 });
    const read = await readBackForTest({ root, hosts: [a, b, c] });
    expect(read).toMatchObject({ length, base: length, quorum: length, quorumEpoch: 1, mayLie: 1, epoch: 1 });
    expect(await replicatedEvents(read.log)).toEqual(all);
    expect([read.troubles, read.leftOut]).toEqual([[], []]);
  });

  it('changes nothing at the hosts, and does not disturb a running core', async () => {
    const { a, b, c, root, settings, core, length } = await threeHosts();
    const living = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await living.settles();
    const epochs = async () =>
      (await Promise.all([a, b, c].map((host) => host.head(root)))).map(({ tree }) => tree?.epoch);
    await expect.poll(epochs, WAIT).toEqual([2, 2, 2]);
    const before = await Promise.all([a, b, c].map((host) => host.head(root)));
    await readBackForTest({ root, hosts: [a, b, c] });
    const after = await Promise.all([a, b, c].map((host) => host.head(root)));
    const known = (heads: typeof before) => heads.map(({ claim, tree }) => [claim, tree?.sequence, tree?.epoch]);
    expect(known(after)).toEqual(known(before));
    await living.record(1);
    expect(await living.settles()).toBe(length + 1);
    expect((await living.known()).elected?.epoch).toBe(2);
  });

  it('is a core’s folder, which continues', async () => {
    const { a, b, c, root, settings, length, all } = await threeHosts();
    const read = await readBackForTest({ root, hosts: [a, b] });
    await read.log.close();
    const core = await ReplicatingCore.start({ ...settings, folder: read.folder, root });
    await core.record(3);
    // Its policy is recorded again: a core that continues with the old copy is BEHIND from then on.
    expect(await core.settles()).toBe(length + 4);
    expect((await replicatedEvents(core.log)).slice(0, length)).toEqual(all);
    expect(await core.known()).toMatchObject({ isRestored: false, elected: { epoch: 2, base: length } });
    await expect.poll(async () => (await c.head(root)).tree?.sequence, WAIT).toBe(length + 4);
  });

  // Two logs leave each other's claims alone for ten seconds, more than once.
  it('the core that it was restored from is BEHIND when it returns', { timeout: 240_000 }, async () => {
    const { a, b, c, root, settings, core } = await threeHosts();
    const read = await readBackForTest({ root, hosts: [a, b, c] });
    await read.log.close();
    const restored = await ReplicatingCore.start({ ...settings, folder: read.folder, root });
    // Once elected, it has recorded its policy again, and the old core does not have that event.
    await expect.poll(async () => (await restored.known()).isRestored, WAIT).toBe(false);
    await restored.settles();
    const old = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await expect.poll(() => old.halted?.code, { ...WAIT, timeout: 150_000 }).toBe('BEHIND');
    await restored.record(1);
    await restored.settles();
    expect(restored.halted).toBeUndefined();
  });

  it('is refused when too few hosts are heard, and the message names them', async () => {
    const { a, b, c, root } = await threeHosts();
    await Promise.all([b.stop(), c.stop()]);
    await expect(readBackForTest({ root, hosts: [a, b, c] })).rejects.toThrow(
      /too few hosts were verified.*--accept-loss/,
    );
  });

  it('states how much weight may be dishonest: none, with two of three', async () => {
    const { a, b, c, root } = await threeHosts();
    expect((await readBackForTest({ root, hosts: [a, b] })).mayLie).toBe(0);
    const sure = { root, hosts: [a, b], dishonestWeight: 1 };
    await expect(readBackForTest(sure)).rejects.toThrow('too few hosts');
    expect((await readBackForTest({ ...sure, hosts: [a, b, c] })).length).toBeGreaterThan(20);
  });

  it('has each event although each host has lost another one', async () => {
    const { a, b, c, root, length, all } = await threeHosts();
    for (const [i, host] of [a, b, c].entries()) {
      await host.stop();
      const sql = `UPDATE events SET sealed = zeroblob(length(sealed)) WHERE sequence = ${5 + i}`;
      await inHostFile(host.folder, sql, 'write');
      await host.restart();
    }
    const read = await readBackForTest({ root, hosts: [a, b, c] });
    expect(read.length).toBe(length);
    expect(await replicatedEvents(read.log)).toEqual(all);
  });

  it('is refused for an event that no host gives any more, and named', async () => {
    const { a, b, c, root } = await threeHosts();
    for (const host of [a, b, c])
      await inHostFile(host.folder, 'UPDATE events SET sealed = zeroblob(length(sealed)) WHERE sequence = 7', 'write');
    await expect(readBackForTest({ root, hosts: [a, b, c] })).rejects.toThrow(/Not all of the first \d+ events/);
  });

  it('has what a single host has staged beyond the quorum', async () => {
    const { a, b, c, root, settings, core, length } = await threeHosts();
    await Promise.all([b.stop(), c.stop()]);
    const alone = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await alone.record(5);
    await expect.poll(async () => (await a.head(root)).staged?.sequence, WAIT).toBe(length + 5);
    const all = await replicatedEvents(alone.log);
    await alone.stop();
    await b.restart();
    const read = await readBackForTest({ root, hosts: [a, b] });
    expect(read).toMatchObject({ length: length + 5, base: length, quorum: length });
    expect(await replicatedEvents(read.log)).toEqual(all);
  });

  it('takes the history of the quorum, and not the one of an old copy that continued with one host', async () => {
    const { a, b, c, root, settings, core, length } = await threeHosts();
    const copy = await copyOf(core.folder);
    await c.stop();
    const original = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await original.record(3, 'original');
    await original.settles();
    const all = await replicatedEvents(original.log);
    await original.stop();
    await Promise.all([a.stop(), b.stop()]);
    await c.restart();
    const old = await ReplicatingCore.start({ ...settings, folder: copy, root });
    await old.record(9, 'old');
    await expect.poll(async () => (await c.head(root)).staged?.sequence, WAIT).toBe(length + 9);
    await old.stop();
    await Promise.all([a.restart(), b.restart()]);
    for (const heard of [
      [a, b, c],
      [b, c],
      [a, c],
      [a, b],
    ]) {
      const read = await readBackForTest({ root, hosts: heard });
      expect(await replicatedEvents(read.log)).toEqual(all);
    }
  });
});

describe('an accepted loss', () => {
  it('changes nothing when nothing is lost', async () => {
    const { a, b, c, root } = await threeHosts();
    await expect(readWithLoss({ root, hosts: [a, b, c] })).rejects.toThrow('nothing was lost');
  });

  it('takes what the remaining hosts have, and continues in a line of its own, with new hosts', async () => {
    const { a, b, c, root, length, all } = await threeHosts();
    await Promise.all([b.stop(), c.stop()]);
    await expect(readBackForTest({ root, hosts: [a] })).rejects.toThrow('too few hosts');
    const read = await readWithLoss({ root, hosts: [a] });
    expect(read).toMatchObject({ length, line: 2, loss: expect.stringContaining('too few hosts') as string });
    expect(await replicatedEvents(read.log)).toEqual(all);
    await read.log.close();
    const d = await RestartableHost.start();
    const core = await ReplicatingCore.start({ folder: read.folder, root, hosts: wanted(a, d), required: 2 });
    await core.record(2);
    const longer = await core.settles();
    expect(await core.known()).toMatchObject({ line: 2, quorum: longer, isRestored: false });
    await expect.poll(async () => (await d.head(root)).tree, WAIT).toMatchObject({ line: 2, sequence: longer });
    // A reading from a host of the old line and one of the new reports both.
    await b.restart();
    const again = await readBackForTest({ root, hosts: [a, b, d] });
    expect([again.length, again.best.line]).toEqual([longer, 2]);
    await expect(readBackForTest({ root, hosts: [b] })).rejects.toThrow('too few hosts');
  });

  it('of a longer history goes on to take events of the hosts that have it, though their own entries are damaged', async () => {
    const { a, b, c, root, settings, core, length } = await threeHosts();
    await c.stop();
    const original = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await original.record(4);
    await original.settles();
    await original.stop();
    await Promise.all([a.stop(), b.stop()]);
    await c.restart();
    const lossy = await readWithLoss({ root, hosts: [c] });
    await lossy.log.close();
    const next = await ReplicatingCore.start({ folder: lossy.folder, root, hosts: wanted(c), required: 1 });
    await next.record(4);
    const longer = await next.settles();
    const all = await replicatedEvents(next.log);
    await next.stop();
    await c.stop();
    // Host c has lost what a has; and a, of what only it has, the time of an event, without which no root is right.
    await inHostFile(c.folder, 'UPDATE events SET sealed = zeroblob(length(sealed)) WHERE sequence = 3', 'write');
    await inHostFile(a.folder, `UPDATE events SET ts = ts + 1 WHERE sequence = ${length + 2}`, 'write');
    await Promise.all([a.restart(), c.restart()]);
    const read = await readBackForTest({ root, hosts: [a, c] });
    expect(read).toMatchObject({ length: longer, best: { line: 2 } });
    expect(await replicatedEvents(read.log)).toEqual(all);
  });

  it('takes events of hosts whose keys are not named: each is what its origin has sealed', async () => {
    const { a, b, c, root, all } = await threeHosts();
    const unnamed = [a, b, c].map(({ url }) => ({ url }));
    await expect(readBackForTest({ root, hosts: unnamed })).rejects.toThrow(
      'Hosts count only when their keys are named',
    );
    const read = await readWithLoss({ root, hosts: unnamed });
    expect(await replicatedEvents(read.log)).toEqual(all);
  });

  it('takes the history that was chosen', async () => {
    const { a, b, c, root, settings, core, length } = await threeHosts();
    const copy = await copyOf(core.folder);
    const other = await ReplicatingCore.start({ ...settings, folder: copy, root });
    await other.replicator.beginLine();
    await expect.poll(async () => (await other.known()).line, WAIT).toBe(2);
    await other.settles();
    await expect.poll(async () => (await a.head(root)).tree?.sequence, WAIT).toBe(length + 1);
    await other.stop();
    const shown = await a.head(root);
    const digits = Buffer.from(shown.tree!.root).toString('hex').slice(0, 8);
    const read = await readWithLoss({ root, hosts: [a, b, c], history: digits });
    expect([read.length, read.line]).toEqual([length + 1, 3]);
    await expect(readWithLoss({ root, hosts: [a], history: '00000000' })).rejects.toThrow('No host shows a history');
  });
});

describe('a host that gives a reader false answers', () => {
  const LIES: readonly LieName[] = [
    ...(['inventedTree', 'inventedStaged', 'replayedHead', 'otherKey', 'otherHost', 'withoutHmac', 'garbage'] as const),
    ...(['wrongContents', 'withheld', 'wrongEntries', 'oldTree', 'busy'] as const),
    ...(['stalled', 'stalledEntries', 'stalledEvents'] as const),
  ];

  it.each(LIES)('%s: everything is read nevertheless, from the others', { timeout: 120_000 }, async (lie) => {
    const [behind, b, c] = [await newHost(), await newHost(), await newHost()];
    const liar = await LyingHost.of(behind);
    const core = await ReplicatingCore.start({ hosts: wanted(liar, b, c), required: 2 });
    await core.settles();
    await core.record(30);
    const length = await core.settles();
    const held = async () => (await core.known()).hosts.get(liar.id)?.sequence;
    await expect.poll(held, WAIT).toBe(length);
    const all = await replicatedEvents(core.log);
    await core.stop();
    liar.lie = lie;
    const begun = Date.now();
    const read = await readBackForTest({ root: core.root, hosts: [liar, b, c] });
    expect(read.length).toBe(length);
    expect(await replicatedEvents(read.log)).toEqual(all);
    // A silent host is not waited for as long as one that is needed.
    if (lie.startsWith('stalled')) expect(Date.now() - begun).toBeLessThan(29_000);
  });
});
