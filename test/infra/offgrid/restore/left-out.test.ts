import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signTree } from '../../../../src/infra/offgrid/protocol/tree.js';
import { appendFact } from '../../../../src/infra/offgrid/replication/replication-events.js';
import { ORIGIN, Reader } from '../../../support/offgrid/by-hand.js';
import { Front } from '../../../support/offgrid/front.js';
import { newHost } from '../../../support/offgrid/host.js';
import { inHostFile } from '../../../support/offgrid/host-file.js';
import { LyingHost } from '../../../support/offgrid/lying-host.js';
import { readBackForTest } from '../../../support/offgrid/reading-back.js';
import { copyOf, ReplicatingCore, RestartableHost, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { coreOfThree, replicatedEvents, threeHosts } from '../../../support/offgrid/three-hosts.js';

/** A host that may be dishonest, two honest ones, and a running core of all three: two are a quorum; each has all events. */
async function liarAndTwo() {
  const behind = await newHost();
  const liar = await LyingHost.of(behind);
  const [b, c] = [await RestartableHost.start(), await RestartableHost.start()];
  const core = await ReplicatingCore.start({ hosts: wanted(liar, b, c), required: 2 });
  // The policy is the first event.
  await core.settles();
  await core.record(20);
  await core.settles();
  // The tree of the last event states that all before it was at quorum.
  await core.record(1);
  const length = await core.settles();
  const { root } = core;
  /** The honest answer in place of the dishonest host's. */
  const truth = new Reader(behind, root);
  const sequences = async () =>
    (await Promise.all([truth.head(), b.head(root), c.head(root)])).map(({ tree }) => tree?.sequence);
  await expect.poll(sequences, WAIT).toEqual([length, length, length]);
  return { liar, truth, b, c, core, root, length, all: await replicatedEvents(core.log) };
}

/** Why nothing is read. */
async function refusalOf(reading: ReturnType<typeof readBackForTest>): Promise<string> {
  const read = await reading.then(({ length }) => `${length} events were read`, String);
  expect(read).toMatch(/^RestoreError: /);
  return read;
}

describe('a host that shows what the origin has signed, and does not give it,', () => {
  it('is left out: what was at quorum is read from the others, and the host is named', async () => {
    const { liar, truth, b, c, core, root, length, all } = await liarAndTwo();
    await Promise.all([b.stop(), c.stop()]);
    await core.record(5);
    await expect.poll(async () => (await truth.head()).tree?.sequence, WAIT).toBe(length + 5);
    await core.stop();
    liar.lie = 'withheld';
    await Promise.all([b.restart(), c.restart()]);

    const read = await readBackForTest({ root, hosts: [liar, b, c] });
    expect(read).toMatchObject({ length, base: length, quorum: length, mayLie: 0 });
    expect(await replicatedEvents(read.log)).toEqual(all);
    expect(read.counted.map(({ host }) => host)).toEqual([b.id, c.id]);
    expect(read.leftOut.map(({ host: { host } }) => host)).toEqual([liar.id]);
    expect(read.leftOut[0]?.why).toContain(`event ${length + 5} of epoch 1`);
    expect(read.troubles).toContainEqual(expect.stringMatching(`${liar.url}.*${liar.id}.*does not give all`));

    // The rest must be enough alone, for as many dishonest hosts as there may be.
    const [one, sure] = [
      { root, hosts: [liar, b] },
      { root, hosts: [liar, b, c], dishonestWeight: 1 },
    ];
    for (const asked of [one, sure])
      expect(await refusalOf(readBackForTest(asked))).toContain(`no host gives event ${length + 1}`);
    // Nothing else is between them and the longer history.
    liar.lie = undefined;
    for (const asked of [one, sure]) expect((await readBackForTest(asked)).length).toBe(length + 5);
  });

  it('shows by its signed quorum that the others lack events: nothing is read, and the number is named', async () => {
    const { liar, truth, b, c, core, root, length } = await liarAndTwo();
    await b.stop();
    const older = await copyOf(b.folder);
    await b.restart();
    await c.stop();
    await core.record(5);
    const longer = await core.settles();
    await expect.poll(async () => (await truth.head()).tree?.quorum, WAIT).toBe(longer);
    const all = await replicatedEvents(core.log);
    await core.stop();
    liar.lie = 'withheld';
    await b.stop();
    await Promise.all([b.restart({ folder: older }), c.restart()]);
    expect((await Promise.all([b.head(root), c.head(root)])).map(({ tree }) => tree?.sequence)).toEqual([
      length,
      length,
    ]);

    const why = await refusalOf(readBackForTest({ root, hosts: [liar, b, c] }));
    expect(why).toContain('more events were at quorum than the');
    expect(why).toMatch(new RegExp(`\\(${liar.id}\\) shows [^;]* of which ${longer} were at quorum`));
    liar.lie = undefined;
    const read = await readBackForTest({ root, hosts: [liar, b, c] });
    expect(await replicatedEvents(read.log)).toEqual(all);
  });
});

describe('the weight of a host', () => {
  it('does not count when it shows what the origin has not signed: one other of three is too few', async () => {
    const { liar, b, core, root, length } = await liarAndTwo();
    await core.stop();
    expect((await readBackForTest({ root, hosts: [liar, b] })).length).toBe(length);
    liar.lie = 'inventedTree';
    const why = await refusalOf(readBackForTest({ root, hosts: [liar, b] }));
    expect(why).toContain('too few hosts');
    expect(why).toContain(`${liar.url} (${liar.id})`);
  });

  it('does not count when the history records that it is SUSPENDED, although it is honest now', async () => {
    const { a, b, c, core, length } = await coreOfThree();
    const { root } = core;
    for (const other of [b, c])
      expect(await readBackForTest({ root, hosts: [a, other] })).toMatchObject({ length, leftOut: [] });
    const data = { origin: ORIGIN, host: a.id, state: 'SUSPENDED' as const, sequence: 0, why: 'An operator.' };
    const by = { at: new Date().toISOString(), actor: 'test', correlationId: 'suspended' };
    await appendFact(core.log, { type: 'HostStateChanged', data }, by);
    const longer = await core.settles();
    for (const host of [b, c]) await expect.poll(async () => (await host.head(root)).tree?.sequence, WAIT).toBe(longer);
    const all = await replicatedEvents(core.log);
    await core.stop();

    for (const [other, missing] of [
      [b, c],
      [c, b],
    ] as const) {
      const refused = await refusalOf(readBackForTest({ root, hosts: [a, other] }));
      expect(refused).toContain('more than 1 of the weight 3 to answer; 1 did. Not heard:');
      expect(refused).toContain(`${missing.id}). Suspended, and not counted: ${a.url} (${a.id}).`);
    }
    const reply = await refusalOf(readBackForTest({ root, hosts: [b, c], dishonestWeight: 1 }));
    expect(reply).toContain('more than 2 of the weight 3 to answer (1 of it may be dishonest); 2 did.');
    for (const hosts of [
      [b, c],
      [a, b, c],
    ]) {
      const read = await readBackForTest({ root, hosts });
      expect(read).toMatchObject({ length: longer, base: longer, mayLie: 0 });
      expect(read.counted.map(({ host }) => host)).toEqual([b.id, c.id]);
      expect(await replicatedEvents(read.log)).toEqual(all);
    }
    const { leftOut } = await readBackForTest({ root, hosts: [a, b, c] });
    expect(leftOut).toMatchObject([{ host: { host: a.id }, why: expect.stringContaining('suspended') as string }]);
  });
});

/** Changes what a host, which is stopped, knows of an event. */
async function change({ folder }: RestartableHost, sequence: number, to: string): Promise<void> {
  const sql = `UPDATE events SET ${to} WHERE sequence = ${sequence} RETURNING sequence`;
  expect(await inHostFile(folder, sql, 'write')).toEqual([{ sequence }]);
}

/** Flips one bit in the middle of it. */
async function flipBit(host: RestartableHost, sequence: number, column: 'eid' | 'leaf' | 'sealed'): Promise<void> {
  const sql = `SELECT hex(${column}) AS hex FROM events WHERE sequence = ${sequence}`;
  const [row] = await inHostFile<{ hex: string }>(host.folder, sql);
  const bytes = Buffer.from(row?.hex ?? '', 'hex');
  expect(bytes.byteLength).toBeGreaterThan(31);
  const middle = Math.floor(bytes.byteLength / 2);
  bytes[middle]! ^= 1;
  await change(host, sequence, `${column} = x'${bytes.toString('hex')}'`);
}

describe('honest hosts whose files are damaged', () => {
  it('give everything, whichever events each has lost, and in any order of requests', async () => {
    const { a, b, c, root, length, all } = await threeHosts();
    await Promise.all([a.stop(), b.stop(), c.stop()]);
    const missions = (all as { type: string }[]).flatMap(({ type }, i) => (type === 'MissionCreated' ? [i + 1] : []));
    await flipBit(a, missions[4]!, 'eid');
    await change(b, missions[5]!, 'etype = etype + 1');
    await change(c, missions[6]!, 'ts = ts + 1');
    await flipBit(a, missions[7]!, 'leaf');
    await flipBit(b, missions[8]!, 'sealed');
    await Promise.all([a.restart(), b.restart(), c.restart()]);
    for (const hosts of [
      [a, b, c],
      [b, c, a],
      [c, a, b],
    ]) {
      const read = await readBackForTest({ root, hosts });
      expect(read).toMatchObject({ length, base: length, holes: [], leftOut: [], mayLie: 1 });
      expect(await replicatedEvents(read.log)).toEqual(all);
    }
  });
});

describe('a host that has signed a higher epoch itself, over the first events alone,', () => {
  it('cuts nothing off: everything is read that the origin has signed', async () => {
    const { liar, truth, b, c, core, root, length, all } = await liarAndTwo();
    await core.stop();
    const [{ tree }, first] = [await truth.head(), await truth.roots(length - 8)];
    const cut = { sequence: length - 8, root: first.head!, quorum: length - 8, quorumRoot: first.head! };
    const invented = { ...tree!, ...cut, base: 0, epoch: tree!.epoch + 1 };
    let signed = signTree(invented, generateKeyPairSync('ed25519').privateKey);
    const front = await Front.of(liar.url);
    front.handler = async (request, pass) => {
      const reply = await pass(request);
      const head = liar.headOf(reply);
      return head === undefined ? reply : liar.signs(request, { ...head, tree: signed });
    };
    const hosts = [{ url: front.url, id: liar.id }, b, c];
    const read = await readBackForTest({ root, hosts });
    expect(read).toMatchObject({ length, base: length, epoch: tree!.epoch, mayLie: 0 });
    expect(await replicatedEvents(read.log)).toEqual(all);
    expect(read.counted.map(({ host }) => host)).toEqual([b.id, c.id]);
    expect(read.troubles).toContainEqual(expect.stringMatching(`^${front.url} is dishonest.*left out`));
    // Only its signer is wrong.
    signed = signTree(invented, root.signingKey);
    expect(await refusalOf(readBackForTest({ root, hosts }))).toContain('more events were at quorum than the');
  });
});
