import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/infra/crypto/bytes.js';
import {
  copyOf,
  ReplicatingCore,
  RestartableHost,
  sameBytes,
  wanted,
  WAIT,
} from '../../../support/offgrid/replicating-core.js';
import { coreOfThree } from '../../../support/offgrid/three-hosts.js';

const hosts = (count: number) => Promise.all(Array.from({ length: count }, () => RestartableHost.start()));

const lengthAt = async (host: RestartableHost, { root }: ReplicatingCore) => (await host.head(root)).tree?.sequence;
const epochAt = async (host: RestartableHost, { root }: ReplicatingCore) => (await host.head(root)).tree?.epoch;

describe('a core and its hosts', () => {
  it('replicates what is recorded to all hosts, in one epoch, with one root', async () => {
    const { a, b, c, core, length } = await coreOfThree({ events: 20 });
    expect(length).toBe(22);
    const heads = await Promise.all([a, b, c].map((host) => host.head(core.root)));
    expect(new Set(heads.map(({ tree }) => toHex(tree!.root))).size).toBe(1);
    for (const head of heads) expect(head).toMatchObject({ tree: { epoch: 1, line: 1 }, staged: null, damaged: 0 });
    const { elected, quorumEpoch, isRestored, line } = await core.known();
    expect({ elected: elected?.epoch, quorumEpoch, isRestored, line }).toEqual({
      ...{ elected: 1, quorumEpoch: 1, isRestored: false, line: 1 },
    });
  });

  it('claims a new epoch with each start, and events that were replicated before count immediately', async () => {
    const { a, b, c, core, settings, length } = await coreOfThree();
    await core.stop();
    const next = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    for (const host of [a, b, c]) await expect.poll(() => epochAt(host, core), WAIT).toBe(2);
    expect(await next.known()).toMatchObject({ quorum: length, elected: { epoch: 2, base: length } });
    await next.record(3);
    expect(await next.settles()).toBe(length + 3);
    expect(next.halted).toBeUndefined();
    expect(JSON.parse(await readFile(join(core.folder, 'writer.json'), 'utf8'))).toEqual({
      ...{ logId: core.log.logId, epoch: 2 },
    });
  });

  it('sends hosts a risen quorum: two seconds after, and before it stops', async () => {
    const { a, b, c, core, settings, length } = await coreOfThree();
    const quorums = () => Promise.all([a, b, c].map(async (host) => (await host.head(core.root)).tree?.quorum));
    await expect.poll(quorums, WAIT).toEqual([length, length, length]);
    await core.record(5);
    await core.settles();
    await core.stop();
    expect(await quorums()).toEqual([length + 5, length + 5, length + 5]);
    const heads = await Promise.all([a, b, c].map((host) => host.head(core.root)));
    for (const { tree } of heads) expect(toHex(tree!.quorumRoot)).toBe(toHex(tree!.root));
    await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
  });

  it('with one host of three stages its events there, and none is at quorum before a second host is heard', async () => {
    const { a, b, c, core, settings, length } = await coreOfThree();
    await core.stop();
    await Promise.all([b.stop(), c.stop()]);
    const next = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await next.record(4);
    await expect.poll(async () => (await a.head(core.root)).staged?.sequence, WAIT).toBe(length + 4);
    expect(await a.head(core.root)).toMatchObject({ tree: { epoch: 1, sequence: length }, claim: { epoch: 2 } });
    expect(await next.known()).toMatchObject({ quorum: length, elected: { epoch: 1 } });
    await b.restart();
    expect(await next.settles()).toBe(length + 4);
    expect(await a.head(core.root)).toMatchObject({ tree: { epoch: 2, sequence: length + 4 }, staged: null });
    await c.restart();
    await expect.poll(() => lengthAt(c, core), WAIT).toBe(length + 4);
  });

  it('supplies a host that has nothing, and one that replaces another', async () => {
    const { a, b, core, settings, length } = await coreOfThree();
    await core.stop();
    const d = await RestartableHost.start();
    const changed = { ...settings, hosts: wanted(a, b, d), folder: core.folder, root: core.root };
    const next = await ReplicatingCore.start(changed);
    await next.record(2);
    await expect.poll(() => lengthAt(d, core), WAIT).toBeGreaterThan(length + 2);
    const all = await next.settles();
    await expect.poll(() => lengthAt(d, core), WAIT).toBe(all);
    await expect.poll(async () => (await next.known()).policies.length, WAIT).toBe(1);
    const [inForce] = (await next.known()).policies;
    expect(inForce?.policy.hosts.map(({ host }) => host)).toEqual([a.id, b.id, d.id]);
  });

  it('ships large events one by one, and many small ones together', { timeout: 240_000 }, async () => {
    const [a] = (await hosts(1)) as [RestartableHost];
    const core = await ReplicatingCore.start({ hosts: wanted(a) });
    await core.record(30, 'large', 100_000);
    await core.record(1_200);
    expect(await core.settles()).toBe(1_232);
    expect(await lengthAt(a, core)).toBe(1_232);
  });
});

describe('two cores of one origin', () => {
  it('the original has continued: its old copy is BEHIND, and remains so', async () => {
    const { core, settings, length } = await coreOfThree();
    await core.stop();
    const copy = await core.copy();
    const original = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await original.record(3);
    await original.settles();
    const old = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    await old.record(2);
    await expect.poll(() => old.halted?.code, WAIT).toBe('BEHIND');
    expect(old.halted?.message).toContain('not on this log');
    await original.record(2);
    expect(await original.settles()).toBe(length + 5);
    expect(original.halted).toBeUndefined();
    await old.stop();
    const again = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    await expect.poll(() => again.halted?.code, WAIT).toBe('BEHIND');
    // Once it is resumed, its log is checked again.
    await again.stop();
    const file = join(copy, 'writer.json');
    const { stopped: _, ...record } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    await writeFile(file, JSON.stringify(record));
    const resumed = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    expect(resumed.halted).toBeUndefined();
    await expect.poll(() => resumed.halted?.code, WAIT).toBe('BEHIND');
  });

  it('an old copy continues with a host that lags: its events are staged there, and nothing is set aside', async () => {
    const { a, b, c, core, settings, length } = await coreOfThree();
    await core.stop();
    const copy = await core.copy();
    await c.stop();
    const original = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await original.record(3);
    await original.settles();
    await original.stop();
    await Promise.all([a.stop(), b.stop()]);
    await c.restart();
    const old = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    await old.record(6);
    await expect.poll(async () => (await c.head(core.root)).staged?.sequence, WAIT).toBe(length + 6);
    expect(await lengthAt(c, core)).toBe(length);
    expect((await old.known()).quorum).toBe(length);
    await a.restart();
    await expect.poll(() => old.halted?.code, WAIT).toBe('BEHIND');
    await b.restart();
    const again = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await again.record(1);
    expect(await again.settles()).toBe(length + 4);
    await expect.poll(() => lengthAt(c, core), WAIT).toBe(length + 4);
  });

  it('that are one process, resumed twice, are FORKED as soon as one sees what the other has written', async () => {
    const { core, settings } = await coreOfThree();
    await core.stop();
    const copy = await core.copy();
    const one = await ReplicatingCore.start({
      ...settings,
      folder: core.folder,
      root: core.root,
      randomBytes: sameBytes(),
    });
    const other = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root, randomBytes: sameBytes() });
    await expect
      .poll(() => [one, other].map(({ replicator }) => replicator.writer.isElected), WAIT)
      .toEqual([...[true, true]]);
    await one.record(1, 'one');
    await other.record(1, 'other');
    await expect.poll(() => one.halted?.code ?? other.halted?.code, WAIT).toBe('FORKED');
  });

  it('on one log both continue: the later claims above the first, and everything they record reaches a quorum', async () => {
    const { core, settings, length } = await coreOfThree();
    const second = await ReplicatingCore.start({ ...settings, shared: core });
    await expect.poll(async () => (await core.known()).elected?.epoch, WAIT).toBeGreaterThan(1);
    await core.record(5);
    expect(await second.settles()).toBeGreaterThanOrEqual(length + 5);
    expect([core.halted, second.halted]).toEqual([undefined, undefined]);
  });
});

describe('two cores of one log with different hosts in their settings', () => {
  it('do not take turns: the policy of the later one remains, and both continue', async () => {
    const { a, b, c, core, length } = await coreOfThree();
    const second = await ReplicatingCore.start({ hosts: wanted(a, b, c), required: 3, shared: core });
    const policies = async () => (await core.events('ReplicationPolicySet')).map(({ required }) => required);
    await expect.poll(policies, WAIT).toEqual([2, 3]);
    await core.record(5);
    await second.settles();
    await second.record(5);
    expect(await second.settles()).toBe(length + 11);
    expect(await policies()).toEqual([2, 3]);
    expect([core.halted, second.halted]).toEqual([undefined, undefined]);
  });
});

describe('hosts that fail', () => {
  it('one that was put back from a copy is suspended, with both sides of the proof', async () => {
    const { a, core, length } = await coreOfThree();
    await a.stop();
    const backup = await copyOf(a.folder);
    await a.restart();
    await core.record(3);
    await core.settles();
    await expect.poll(() => lengthAt(a, core), WAIT).toBe(length + 3);
    await expect.poll(async () => (await core.known()).hosts.get(a.id)?.sequence, WAIT).toBe(length + 3);
    await a.stop();
    await a.restart({ folder: backup });
    await expect.poll(async () => (await core.known()).hosts.get(a.id)?.state, WAIT).toBe('SUSPENDED');
    const changes = await core.events('HostStateChanged');
    expect(changes.at(-1)).toMatchObject({ state: 'SUSPENDED', proof: { kind: 'RANK' } });
    await core.record(1);
    expect(await core.settles()).toBe(length + 5);
  });

  it('one that has another key pinned for the name is BLOCKED, and not suspended', async () => {
    const [a, b, c] = (await hosts(3)) as [RestartableHost, RestartableHost, RestartableHost];
    const otherCore = await ReplicatingCore.start({ hosts: wanted(a) });
    await otherCore.settles();
    await otherCore.stop();
    const core = await ReplicatingCore.start({ hosts: wanted(a, b, c), required: 2 });
    await expect.poll(async () => (await core.known()).hosts.get(a.id)?.state, WAIT).toBe('BLOCKED');
    expect(await core.settles()).toBeGreaterThan(2);
    const [change] = await core.events('HostStateChanged');
    expect(change).toMatchObject({ state: 'BLOCKED', why: expect.stringContaining('another key') as string });
    expect(change).not.toHaveProperty('proof');
  });
});

describe('a line', () => {
  it('is begun when a quorum is lost permanently: the log loses nothing, and the other hosts continue', async () => {
    const { a, b, c, core, length } = await coreOfThree();
    await core.stop();
    await Promise.all([b.stop(), c.stop()]);
    const d = await RestartableHost.start();
    const settings = { hosts: wanted(a, d), required: 2, folder: core.folder, root: core.root };
    const next = await ReplicatingCore.start(settings);
    await next.record(2);
    await expect.poll(async () => (await a.head(core.root)).staged?.sequence, WAIT).toBeGreaterThan(length);
    expect((await next.known()).quorum).toBe(length);
    expect(await next.replicator.beginLine()).toBe(2);
    await expect.poll(async () => (await next.known()).line, WAIT).toBe(2);
    const all = await next.settles();
    const { begun, policies, nextLine } = await next.known();
    expect([begun, policies.length, nextLine]).toEqual([all, 1, undefined]);
    for (const host of [a, d])
      expect(await host.head(core.root)).toMatchObject({ tree: { line: 2, sequence: all }, staged: null });
  });

  it('that another copy of the log has begun stops this one, until it begins one above', async () => {
    const { a, b, c, core, settings, length } = await coreOfThree();
    await core.stop();
    const copy = await core.copy();
    const other = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    expect(await other.replicator.beginLine()).toBe(2);
    await expect.poll(async () => (await other.known()).line, WAIT).toBe(2);
    await other.settles();
    await other.stop();
    const own = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await expect.poll(() => own.halted?.code, WAIT).toBe('BEHIND');
    expect(own.halted).toMatchObject({ line: 2, message: expect.stringContaining('begin-line') as string });
    await own.record(1);
    expect(await own.replicator.beginLine()).toBe(3);
    await expect.poll(async () => (await own.known()).line, WAIT).toBe(3);
    expect(await own.settles()).toBe(length + 2);
    for (const host of [a, b, c]) await expect.poll(() => lineAt(host, core), WAIT).toBe(3);
    const again = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    await expect.poll(() => again.halted?.code, WAIT).toBe('BEHIND');
  });

  it('is begun above a line that a host has shown, although too few hosts are heard to halt the core', async () => {
    const { a, b, c, core, settings } = await coreOfThree();
    await core.stop();
    const copy = await core.copy();
    const other = await ReplicatingCore.start({ ...settings, folder: copy, root: core.root });
    expect(await other.replicator.beginLine()).toBe(2);
    await other.settles();
    for (const host of [a, b, c]) await expect.poll(() => lineAt(host, core), WAIT).toBe(2);
    await other.stop();
    await Promise.all([b.stop(), c.stop()]);
    const own = await ReplicatingCore.start({ ...settings, folder: core.folder, root: core.root });
    await expect.poll(() => own.replicator.writer.granted.size, WAIT).toBe(1);
    expect(own.halted).toBeUndefined();
    expect(await own.replicator.beginLine()).toBe(3);
    await Promise.all([b.restart(), c.restart()]);
    await own.settles();
    for (const host of [a, b, c]) await expect.poll(() => lineAt(host, core), WAIT).toBe(3);
  });
});

const lineAt = async (host: RestartableHost, { root }: ReplicatingCore) => (await host.head(root)).tree?.line;
