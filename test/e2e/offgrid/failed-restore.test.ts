import { generateKeyPairSync } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { formatRecoveryKey, parseRecoveryKey } from '../../../src/infra/crypto/recovery-key.js';
import { signClaim } from '../../../src/infra/offgrid/protocol/claim.js';
import type { Head } from '../../../src/infra/offgrid/protocol/head.js';
import type { HostClient } from '../../../src/infra/offgrid/protocol/host-client.js';
import { HostClients } from '../../../src/infra/offgrid/protocol/host-clients.js';
import { signTree } from '../../../src/infra/offgrid/protocol/tree.js';
import { WriterFile } from '../../../src/infra/offgrid/replication/writer-file.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { withLogOf } from '../../infra/transfer/support.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { ORIGIN, Reader } from '../../support/offgrid/by-hand.js';
import { Front, type Handler } from '../../support/offgrid/front.js';
import { AUTH_KEY, newHost } from '../../support/offgrid/host.js';
import { LyingHost } from '../../support/offgrid/lying-host.js';
import {
  newMission,
  recoveryKeyOf,
  replicating,
  restoreInto,
  settled,
  settledMachine,
  statusOf,
  titlesOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { ReplicatingCore, sameBytes } from '../../support/offgrid/replicating-core.js';
import { replicatedEvents, threeHosts } from '../../support/offgrid/three-hosts.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

const HUGE = 2 ** 48 - 1;
const UNKNOWN_KEY = generateKeyPairSync('ed25519').privateKey;

/** How a restore names a host that is reached at a URL. */
const named = (url: string, { identity }: { readonly identity: { readonly id: string } }) => `${url}#${identity.id}`;

/** A link to a host that may fall silent: a caller then waits until all connections are closed. */
async function silenceable(host: RunningHost) {
  const front = await Front.of(host.url);
  let hangUp: () => void;
  const silence = new Promise<never>((_, reject) => {
    hangUp = () => {
      reject(new Error('the host is silent'));
    };
  });
  silence.catch(() => undefined);
  let underway = 0;
  const passes: Handler = (request, pass) => {
    underway += 1;
    return pass(request).finally(() => (underway -= 1));
  };
  front.handler = passes;
  return {
    url: front.url,
    /** Nothing reaches the host any more once this resolves. */
    fallsSilent: async () => {
      front.handler = () => silence;
      await expect.poll(() => underway, WAIT).toBe(0);
    },
    hangsUp: () => {
      hangUp();
    },
    speaks: () => {
      front.handler = passes;
    },
  };
}

/** A link to a host on which the host changes what its heads carry, and signs that. */
async function lyingWay(host: RunningHost, change: Partial<Head>): Promise<string> {
  const liar = await LyingHost.of(host);
  const front = await Front.of(liar.url);
  front.handler = async (request, pass) => {
    const reply = await pass(request);
    const head = liar.headOf(reply);
    return head === undefined ? reply : liar.signs(request, { ...head, ...change });
  };
  return front.url;
}

/** The replicated events of a data folder on which nothing runs. */
const eventsIn = (dataDir: string) => withLogOf(dataDir, replicatedEvents);
const coreFilesIn = async (dataDir: string) => (await readdir(dataDir)).filter((name) => name.startsWith('core'));

describe('a restore that hears only a dishonest host, which signs for an enormous epoch, while a core runs', () => {
  it('names the host and changes neither hosts nor core; the next restore, which hears the others, gives everything', async () => {
    const [a, b, c] = [await newHost(), await newHost(), await newHost()];
    const ways = [await silenceable(b), await silenceable(c)] as const;
    const { core, dataDir } = await settledMachine([a.url, ways[0].url, ways[1].url]);
    await newMission(core, { title: 'before' });
    await settled(core, 3);
    const key = await recoveryKeyOf(dataDir);
    const root = parseRecoveryKey(key);
    const heads = () => Promise.all([a, b, c].map((host) => new Reader(host, root).head()));
    const claims = async () => (await heads()).map((head) => head.claim);
    const { tree, claim } = await new Reader(a, root).head();
    const lies = [
      { tree: signTree({ ...tree!, epoch: HUGE }, UNKNOWN_KEY) },
      { claim: signClaim({ ...claim!, epoch: HUGE }, UNKNOWN_KEY) },
    ];
    const liars = await Promise.all(lies.map((lie) => lyingWay(a, lie)));
    const hostsBeside = (liar: string) => [named(liar, a), named(ways[0].url, b), named(ways[1].url, c)];

    for (const way of ways) await way.fallsSilent();
    const before = await heads();
    const restores = await Promise.all(
      liars.map(async (liar) => {
        const [into, hosts] = [await newDataDir(), hostsBeside(liar)];
        const env = { ...replicating(hosts), SHERATAN_RECOVERY_KEY: key };
        return { liar, into, restore: new Sheratan(['restore', '--hosts', hosts.join(',')], into, env) };
      }),
    );
    for (const { restore } of restores) {
      onTestFinished(() => restore.kill());
      const output = () => restore.errors.join('\n');
      for (const { url } of ways) await expect.poll(output, WAIT).toContain(`${url} has not answered within 10 s`);
      await expect.poll(output, WAIT).toContain('the others are waited for');
    }
    expect(await statusOf(core)).toMatchObject({ stopped: null, elected: true, writerEpoch: 1, quorumSequence: 3 });
    for (const way of ways) way.hangsUp();
    for (const { liar, into, restore } of restores) {
      expect(await restore.ended).toEqual({ code: 78, signal: null });
      const about = restore.errors.filter((line) => line.includes(liar));
      expect(about).toEqual([
        expect.stringMatching(
          `${liar} is dishonest: it signed a head with a statement that is not the origin's.*It is left out`,
        ),
      ]);
      expect(restore.errors.at(-1)).toBe(
        'sheratan: No host has answered with a valid head. Start the hosts, or check --hosts.',
      );
      expect(await coreFilesIn(into)).toEqual([]);
    }
    expect((await heads()).slice(1)).toEqual(before.slice(1));
    expect(await claims()).toEqual(before.map((head) => head.claim));
    expect(before.map((head) => head.claim?.epoch)).toEqual([1, 1, 1]);
    for (const way of ways) way.speaks();

    expect(await newMission(core, { title: 'after' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await settled(core, 4)).toMatchObject({
      ...{ stopped: null, elected: true, writerEpoch: 1, headSequence: 4, quorumSequence: 4 },
      hosts: [{ state: 'ACTIVE' }, { state: 'ACTIVE' }, { state: 'ACTIVE' }],
    });
    // The host is still dishonest: the others are enough.
    const again = await Promise.all(
      restores.map(async ({ liar, into }) => ({ liar, into, ...(await restoreInto(into, key, hostsBeside(liar))) })),
    );
    expect(await statusOf(core)).toMatchObject({ stopped: null, elected: true, writerEpoch: 1 });
    expect(await claims()).toEqual(before.map((head) => head.claim));
    await core.kill();
    const all = await eventsIn(dataDir);
    expect(all).toHaveLength(4);
    for (const { liar, into, code, errors } of again) {
      expect(errors.join('\n')).toContain(`${liar} is dishonest`);
      expect(code).toBe(0);
      expect(await eventsIn(into)).toEqual(all);
      // A core that continues from here claims the second epoch, not one above the invented epoch.
      expect(await new WriterFile(corePaths(into).writer).load()).toMatchObject({ epoch: 1 });
    }
  });
});

/** A process that runs twice, elected in one epoch at three hosts: one then reaches only a and b, the other only c. */
async function parted() {
  const { a, b, c, core, root, settings, length } = await threeHosts({ events: 5 });
  const hosts = [a, b, c];
  const start = async (folder: string) => {
    const links = await Promise.all(hosts.map(({ url }) => UnfriendlyLink.to(url, new Random(1))));
    const clients = new HostClients(AUTH_KEY, systemClock);
    onTestFinished(() => {
      clients.close();
    });
    // Its policy names the hosts themselves: with the addresses of its links it would be another, and an event more.
    const between = ({ url }: HostClient) => {
      const i = hosts.findIndex((host) => host.url === url);
      return clients.of(links[i]!.url, hosts[i]!.id);
    };
    const options = { ...settings, folder, root, between, randomBytes: sameBytes() };
    return { links, core: await ReplicatingCore.start(options) };
  };
  const copy = await core.copy();
  const [one, other] = [await start(core.folder), await start(copy)];
  const elected = () => [one, other].map(({ core: { replicator } }) => replicator.writer.isElected);
  await expect.poll(elected, WAIT).toEqual([true, true]);
  one.links[2]!.cut();
  other.links[0]!.cut();
  other.links[1]!.cut();
  await one.core.record(2, 'one');
  await other.core.record(1, 'other');
  const trees = async () => (await Promise.all(hosts.map((host) => host.head(root)))).map(({ tree }) => tree!);
  await expect
    .poll(trees, WAIT)
    .toMatchObject([length + 2, length + 2, length + 1].map((sequence) => ({ sequence, epoch: 2, line: 1 })));
  const histories = { one: await replicatedEvents(one.core.log), other: await replicatedEvents(other.core.log) };
  await Promise.all([one.core.stop(), other.core.stop()]);
  expect([one.core.halted, other.core.halted]).toEqual([undefined, undefined]);
  const digits = (await trees()).map((tree) => Buffer.from(tree.root).toString('hex').slice(0, 8));
  const key = formatRecoveryKey(root);
  return { hosts, root, key, length, histories, digits, at: hosts.map((host) => named(host.url, host)) };
}

describe('two histories of one epoch, of a process that was resumed twice,', () => {
  it('are distinguished where all hosts are heard; with two hosts a restore is refused, and the chosen history continues', async () => {
    const { hosts, root, key, length, histories, digits, at } = await parted();
    const [ofOne, , ofOther] = digits;
    expect(digits).toEqual([ofOne, ofOne, expect.not.stringMatching(`^${ofOne}$`)]);
    const [whole, half, chosen] = [await newDataDir(), await newDataDir(), await newDataDir()];
    const [read, refused, taken] = await Promise.all([
      restoreInto(whole, key, at),
      restoreInto(half, key, at.slice(1)),
      restoreInto(chosen, key, at.slice(1), '--accept-loss', ORIGIN, '--history', ofOther ?? ''),
    ]);

    expect(read.code).toBe(0);
    expect(read.output.join('\n')).toMatch(/^history {7}epoch 2 of line 1;/m);
    expect(await eventsIn(whole)).toEqual(histories.one);

    expect(refused.code).toBe(78);
    const why = refused.errors.at(-1);
    expect(why).toMatch(
      /^sheratan: Two processes have written in epoch 2, and the hosts do not show which of their histories was at quorum: .*, or choose one: --accept-loss --history <first 8 digits of its root>\.$/,
    );
    for (const [i, events] of [
      [1, length + 2],
      [2, length + 1],
    ] as const)
      expect(why).toContain(
        `${hosts[i]?.url} (${hosts[i]?.id}) shows ${events} events of epoch 2 in line 1, root ${digits[i]}`,
      );
    expect(await coreFilesIn(half)).toEqual([]);

    expect(taken.code).toBe(0);
    expect(taken.output.join('\n')).toMatch(
      new RegExp(`^LOSS ACCEPTED root ${ofOther} was chosen\nline {10}2 begins with the first policy`, 'm'),
    );
    expect(await eventsIn(chosen)).toEqual(histories.other);

    const urls = hosts.map(({ url }) => url);
    const restored = await Sheratan.serve(chosen, replicating(urls));
    // The event that begins the line is one more.
    expect(await settled(restored, length + 2)).toMatchObject({ line: 2, stopped: null, headSequence: length + 2 });
    expect(await titlesOf(restored)).toEqual([...Array<string>(5).fill('mission'), 'other']);
    for (const host of hosts)
      expect(await host.head(root)).toMatchObject({ tree: { line: 2, sequence: length + 2 }, staged: null });
  });
});
