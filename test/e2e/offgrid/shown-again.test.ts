import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { readKeyring } from '../../../src/infra/crypto/keyring-file.js';
import { signClaim } from '../../../src/infra/offgrid/protocol/claim.js';
import { TestNode } from '../../support/node.js';
import { Reader } from '../../support/offgrid/by-hand.js';
import { Front } from '../../support/offgrid/front.js';
import { newHost } from '../../support/offgrid/host.js';
import { LyingHost } from '../../support/offgrid/lying-host.js';
import { newMission, replicating, settled, statusOf, WAIT } from '../../support/offgrid/machine.js';
import { readBackForTest } from '../../support/offgrid/reading-back.js';
import { ReplicatingCore, RestartableHost, wanted } from '../../support/offgrid/replicating-core.js';
import { replicatedEvents } from '../../support/offgrid/three-hosts.js';

describe('a host that answers every claim and batch with a claim that the origin has signed once', () => {
  it('makes a core claim above it once, and does not count afterwards: the others are a quorum', async () => {
    const [host, b, c] = [await newHost(), await newHost(), await newHost()];
    const liar = await LyingHost.of(host);
    const front = await Front.of(liar.url);
    const core = await TestNode.start(replicating([front.url, b.url, c.url]));
    onTestFinished(() => core.stop());
    await settled(core);
    const root = await readKeyring(corePaths(core.folder).keyring, undefined);
    const { logId } = core.services.log;
    // As a copy of this core would have signed it.
    const claimed = { host: liar.id, origin: 'core-v2', epoch: 99, writer: `${logId}:12345678` };
    const claim = signClaim(claimed, root!.signingKey);
    let refused = 0;
    front.handler = (request, pass) => {
      if (request.method !== 'POST') return pass(request);
      refused += 1;
      return Promise.resolve(liar.refuses(request, { code: 'FENCED', claim, message: 'A higher epoch was granted.' }));
    };
    for (let i = 0; i < 3; i += 1)
      expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, elected: true, writerEpoch: 100, quorumSequence: 5 });
    const before = refused;
    await expect.poll(() => refused, WAIT).toBeGreaterThan(before);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, elected: true, writerEpoch: 100, quorumSequence: 6 });
    const { hosts } = await statusOf(core);
    expect(hosts).toContainEqual(
      expect.objectContaining({ id: liar.id, state: 'ACTIVE', reached: false, sequence: 2 }),
    );
    await core.restart();
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, writerEpoch: 101 });
    front.handler = undefined;
    expect(await settled(core, 7)).toMatchObject({ stopped: null, writerEpoch: 101, quorumSequence: 7 });
  });
});

describe('a host that shows a history that was set aside, which the origin has signed once', () => {
  it('is suspended by the core that has seen it beyond that, and does not decide a restore', async () => {
    const behind = await newHost();
    const liar = await LyingHost.of(behind);
    const [b, c] = [await RestartableHost.start(), await RestartableHost.start()];
    const settings = { hosts: wanted(liar, b, c), required: 2 };
    const first = await ReplicatingCore.start(settings);
    await first.record(2, 'on all');
    const length = await first.settles();
    const { root } = first;
    const truth = new Reader(behind, root);
    const heads = () => Promise.all([truth.head(), b.head(root), c.head(root)]);
    const trees = async () => (await heads()).map(({ tree }) => [tree?.epoch, tree?.sequence]);
    await expect.poll(trees, WAIT).toEqual([1, 2, 3].map(() => [1, length]));
    await Promise.all([b.stop(), c.stop()]);
    await first.record(9, 'tail');
    await expect.poll(async () => (await truth.head()).tree?.sequence, WAIT).toBe(length + 9);
    const tail = liar.trees.at(-1);
    await first.stop();
    await Promise.all([b.restart(), c.restart()]);

    // Two of three have never heard of the tail.
    const read = await readBackForTest({ root, hosts: [b, c] });
    expect(read.length).toBe(length);
    await read.log.close();
    const core = await ReplicatingCore.start({ ...settings, folder: read.folder, root });
    await core.record(1, 'continues');
    const all = await core.settles();
    await expect.poll(trees, WAIT).toEqual([1, 2, 3].map(() => [2, all]));
    expect(all).toBeLessThan(length + 9);

    const shown = await Front.of(liar.url);
    shown.handler = async (request, pass) => {
      const reply = await pass(request);
      const head = liar.headOf(reply);
      return head === undefined || tail === undefined ? reply : liar.signs(request, { ...head, tree: tail });
    };
    const events = await replicatedEvents(core.log);
    // The tree of a longer, older history: it ranks below.
    const hosts = [{ url: shown.url, id: liar.id }, b];
    const again = await readBackForTest({ root, hosts });
    expect([again.length, again.best.epoch]).toEqual([all, 2]);
    expect(await replicatedEvents(again.log)).toEqual(events);
    const alone = readBackForTest({ root, hosts: [hosts[0]!] });
    await expect(alone).rejects.toThrow(
      `Not all of the first ${length + 9} events that the origin has signed can be obtained`,
    );
    await core.stop();

    // The core knows what the host had signed for, and finds it dishonest.
    const next = await ReplicatingCore.start({
      ...{ ...settings, hosts: wanted(shown, b, c), folder: core.folder, root },
    });
    await next.record(1, 'after');
    await expect
      .poll(() => next.events('HostStateChanged'), WAIT)
      .toContainEqual(
        expect.objectContaining({ host: liar.id, state: 'SUSPENDED', proof: expect.anything() as object }),
      );
    expect(next.halted).toBeUndefined();
    await next.settles();
  });
});
