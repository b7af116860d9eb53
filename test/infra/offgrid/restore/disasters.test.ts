import { describe, expect, it } from 'vitest';
import type { HostClient } from '../../../../src/infra/offgrid/protocol/host-client.js';
import { overBrokenLink } from '../../../support/offgrid/broken-link.js';
import { readBackForTest, readWithLoss } from '../../../support/offgrid/reading-back.js';
import {
  copyOf,
  ReplicatingCore,
  RestartableHost,
  sameBytes,
  wanted,
  WAIT,
} from '../../../support/offgrid/replicating-core.js';
import { replicatedEvents, threeHosts } from '../../../support/offgrid/three-hosts.js';

/** For tests that take a busy machine a while. */
const LONG = { timeout: 240_000 };

/** A client that ships `batches` batches to one host, whose link is then down. */
function downAfter(batches: number, url: string): (client: HostClient) => HostClient {
  return (client) => {
    if (client.url !== url) return client;
    let left = batches;
    return overBrokenLink(client, (name) => {
      if (name === 'ship') left -= 1;
      return left < 0;
    });
  };
}

describe('two restores in a row', () => {
  it('give back everything at quorum, although a host that lagged was caught half way', LONG, async () => {
    const { a, b, c, root, settings, core } = await threeHosts();
    await c.stop();
    const living = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await living.record(600);
    const length = await living.settles();
    const all = await replicatedEvents(living.log);
    await living.stop();

    const first = await readBackForTest({ root, hosts: [a, b] });
    await first.log.close();
    await c.restart();
    const between = downAfter(3, c.url);
    const second = await ReplicatingCore.start({ ...settings, folder: first.folder, root, between });
    const reached = async () => {
      const { tree, staged } = await c.head(root);
      return Math.max(tree?.sequence ?? 0, staged?.sequence ?? 0);
    };
    await expect.poll(reached, WAIT).toBeGreaterThan(30);
    await second.stop();
    expect(await reached()).toBeLessThan(length);

    for (const heard of [
      [b, c],
      [a, c],
      [a, b, c],
    ]) {
      const read = await readBackForTest({ root, hosts: heard });
      expect((await replicatedEvents(read.log)).slice(0, length)).toEqual(all);
    }
  });
});

describe('hosts that have less than was at quorum, as one of them shows,', () => {
  it('give nothing back: the number is named', async () => {
    const { a, b, c, root, settings, core, length } = await threeHosts();
    await b.stop();
    const older = await copyOf(b.folder);
    await b.restart();
    await c.stop();
    const living = await ReplicatingCore.start({ ...settings, folder: core.folder, root });
    await living.record(300);
    const longer = await living.settles();
    await living.stop();
    // The tree that a lagging host receives states the quorum.
    await c.restart();
    const again = { ...settings, folder: core.folder, root, between: downAfter(2, c.url) };
    const next = await ReplicatingCore.start(again);
    const known = async () => {
      const { tree, staged } = await c.head(root);
      return Math.max(tree?.quorum ?? 0, staged?.quorum ?? 0);
    };
    await expect.poll(known, WAIT).toBeGreaterThanOrEqual(longer);
    await next.stop();
    await Promise.all([a.stop(), b.stop()]);
    // The only other that can be reached was put back from a copy.
    await b.restart({ folder: older });
    const reading = readBackForTest({ root, hosts: [b, c] });
    await expect(reading).rejects.toThrow(String(await known()));
    expect((await b.head(root)).tree?.sequence).toBe(length);
  });
});

describe('a process that was resumed twice', () => {
  it('has two histories of one epoch: the one that may have been at quorum is read, or neither is', async () => {
    const { a, b, c, root, settings, core } = await threeHosts();
    const copy = await core.copy();
    const one = await ReplicatingCore.start({ ...settings, folder: core.folder, root, randomBytes: sameBytes() });
    const other = await ReplicatingCore.start({ ...settings, folder: copy, root, randomBytes: sameBytes() });
    await expect
      .poll(() => [one, other].map(({ replicator }) => replicator.writer.isElected), WAIT)
      .toEqual([true, true]);
    await one.record(2, 'one');
    const length = await one.settles();
    const all = await replicatedEvents(one.log);
    await other.record(1, 'other');
    await expect.poll(() => one.halted?.code ?? other.halted?.code, WAIT).toBe('FORKED');
    await Promise.all([one.stop(), other.stop()]);
    const read = await readBackForTest({ root, hosts: [a, b, c] });
    expect((await replicatedEvents(read.log)).slice(0, length)).toEqual(all);
  });
});

describe('a line that was begun later, or elsewhere,', () => {
  /** Accepts a loss with the events of one host, and continues with two new ones. */
  async function goOn(root: Parameters<typeof readWithLoss>[0]['root'], host: RestartableHost) {
    const read = await readWithLoss({ root, hosts: [host] });
    await read.log.close();
    const added = [await RestartableHost.start(), await RestartableHost.start()] as const;
    const settings = { hosts: wanted(host, ...added), required: 2, folder: read.folder, root };
    const core = await ReplicatingCore.start(settings);
    await core.record(2);
    const length = await core.settles();
    for (const one of added) await expect.poll(async () => (await one.head(root)).tree?.sequence, WAIT).toBe(length);
    await core.stop();
    return { added, settings, length };
  }

  it('is not passed over by a restore from hosts of the older one, months later', async () => {
    const { a, b, c, root, length } = await threeHosts();
    await Promise.all([b.stop(), c.stop()]);
    const { added, length: longer } = await goOn(root, a);
    await Promise.all([b.restart(), c.restart(), a.stop()]);
    // They are a quorum of the older line; a host of the later one shows what was at quorum there.
    expect((await readBackForTest({ root, hosts: [b, c] })).length).toBe(length);
    await expect(readBackForTest({ root, hosts: [b, c, added[0]] })).rejects.toThrow('line 2');
    const read = await readBackForTest({ root, hosts: [b, c, ...added] });
    expect([read.length, read.best.line]).toEqual([longer, 2]);
    expect(longer).toBeGreaterThan(length);
  });

  it('by two operators, each of whom heard other hosts, is refused and named when a restore hears both', async () => {
    const { a, b, c, root } = await threeHosts();
    await Promise.all([b.stop(), c.stop()]);
    const one = await goOn(root, a);
    await Promise.all([a.stop(), b.restart(), ...one.added.map((host) => host.stop())]);
    const other = await goOn(root, b);
    await Promise.all([a.restart(), c.restart(), ...one.added.map((host) => host.restart())]);
    const everyone = [a, b, c, ...one.added, ...other.added];
    await expect(readBackForTest({ root, hosts: everyone })).rejects.toThrow(/more than one line|line 2/);

    const hosts = wanted(a, ...one.added, b);
    const met = await ReplicatingCore.start({ ...one.settings, hosts });
    await expect.poll(() => met.halted?.code, WAIT).toBe('BEHIND');
    expect(met.halted?.message).toContain('line 2');
  });
});
