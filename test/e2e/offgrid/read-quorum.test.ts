import { readdir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { formatRecoveryKey } from '../../../src/infra/crypto/recovery-key.js';
import { RootKey } from '../../../src/infra/crypto/root-key.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { ORIGIN } from '../../support/offgrid/by-hand.js';
import { newHost } from '../../support/offgrid/host.js';
import {
  drill,
  newMission,
  recoveryKeyOf,
  replicating,
  restoreInto,
  setHostState,
  settled,
  settledMachine,
  statusOf,
  titlesOf,
} from '../../support/offgrid/machine.js';

/** A core of two hosts. @param required how many of them must sign */
async function coreOfTwo(required: number) {
  const hosts = [await newHost(), await newHost({ name: 'host-b' })] as const;
  const urls = hosts.map(({ url }) => url);
  const env = { OFFGRID_REQUIRED_ACKS: String(required), OFFGRID_ALLOW_MINORITY: String(required === 1) };
  const { core, dataDir } = await settledMachine(urls, env);
  await newMission(core, { title: 'kept' });
  await settled(core, 3);
  const [a, b] = [`${hosts[0].url}#${hosts[0].identity.id}`, `${hosts[1].url}#${hosts[1].identity.id}`] as const;
  return { core, dataDir, hosts, urls, a, b, env };
}

describe('where both of two hosts must sign', () => {
  it('either of them gives everything back, and so do both; a drill shows this beside a running core', async () => {
    const { core, dataDir, urls, a, b } = await coreOfTwo(2);
    for (const hosts of [[a], [b], [a, b]]) {
      const { code, output } = await drill(dataDir, hosts);
      expect(output.at(-1)).toBe('the same: 3 events could be restored');
      expect(code).toBe(0);
    }
    // This core knows its hosts by their keys.
    const known = await Sheratan.run(['restore', '--drill'], dataDir, replicating(urls));
    expect(known.output.at(-1)).toBe('the same: 3 events could be restored');
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, writerEpoch: 1 });
  });

  it('several policies, keys and states of hosts are restored unchanged', async () => {
    const { core, dataDir, hosts, urls, b } = await coreOfTwo(2);
    const { id } = hosts[0].identity;
    await setHostState(core, id, 'SUSPENDED');
    await core.gql('mutation { rotateKey { __typename } }');
    await newMission(core, { title: 'under another key' });
    await setHostState(core, id, 'ACTIVE');
    await core.gql(`mutation { confirmHost(id: "${id}") { __typename } }`);
    await settled(core, 8);
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, [b])).toMatchObject({ code: 0 });
    const restored = await Sheratan.serve(elsewhere, replicating(urls));
    // It has recorded its policy again: the one that was confirmed.
    await settled(restored, 9);
    expect(await titlesOf(restored)).toEqual(['kept', 'under another key']);
    expect(await restored.gql('{ hosts { id state confirmed } }')).toEqual({
      hosts: expect.arrayContaining([{ id, state: 'ACTIVE', confirmed: true }]),
    });
    expect(await statusOf(restored)).toMatchObject({
      headSequence: 9,
      quorumSequence: 9,
      policyVersion: 3,
      stopped: null,
    });
  });
});

describe('where one of two hosts must sign', () => {
  it('one host alone is refused, which fences no core, and accepted when the loss is accepted', async () => {
    const { core, dataDir, hosts, urls, a, b, env } = await coreOfTwo(1);
    const key = await recoveryKeyOf(dataDir);
    const elsewhere = await newDataDir();
    const refused = await restoreInto(elsewhere, key, [a]);
    expect(refused.code).not.toBe(0);
    expect(refused.errors.at(-1)).toMatch(
      /Events that were at quorum may be missing: too few hosts were verified.*--accept-loss/,
    );
    expect(refused.errors.at(-1)).toMatch(
      new RegExp(`They show: ${urls[0]} \\(${hosts[0].identity.id}\\) shows 3 events of epoch 1 in line 1`),
    );
    expect(refused.errors.at(-1)).toContain(
      `Policy 1 requires more than 1 of the weight 2 to answer; 1 did. Not heard: ${urls[1]} (${hosts[1].identity.id}).`,
    );

    const unpinned = await restoreInto(elsewhere, key, urls);
    expect(unpinned.code).not.toBe(0);
    expect(unpinned.errors.at(-1)).toMatch(/Hosts count only when their keys are named, and none is: .*--accept-loss/);
    for (const named of [a, b]) expect(unpinned.errors.at(-1)).toContain(named);

    const wrongFingerprint = await restoreInto(elsewhere, key, [a, `${hosts[1].url}#${'0'.repeat(32)}`]);
    expect(wrongFingerprint.code).not.toBe(0);
    expect(wrongFingerprint.errors.join('\n')).toMatch(
      new RegExp(`answers with the key ${hosts[1].identity.id}.*It is left out`),
    );
    expect((await readdir(elsewhere)).filter((name) => name.startsWith('core'))).toEqual([]);

    expect(await newMission(core, { title: 'continues' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await settled(core, 4)).toMatchObject({ stopped: null, writerEpoch: 1 });

    const unnamed = await restoreInto(elsewhere, key, [a], '--accept-loss', 'another');
    expect(unnamed.code).not.toBe(0);
    expect(unnamed.errors.join('\n')).toMatch(/--accept-loss: 'another' must be 'core-v2', the origin/);

    const taken = await restoreInto(elsewhere, key, [a], '--accept-loss', ORIGIN);
    expect(taken).toMatchObject({ code: 0 });
    expect(taken.output.join('\n')).toMatch(/LOSS ACCEPTED Events that were at quorum may be missing/);
    expect(taken.output.join('\n')).toContain('line          2 begins with the first policy of the restored core');
    // It has only read, and sent nothing.
    expect(await statusOf(core)).toMatchObject({ stopped: null, writerEpoch: 1, quorumSequence: 4 });
    await core.kill();
    const restored = await Sheratan.serve(elsewhere, replicating(urls, env));
    expect(await titlesOf(restored)).toEqual(['continues', 'kept']);
    await settled(restored, 5);
    const { replicationStatus } = await restored.gql('{ replicationStatus { line elected quorumSequence } }');
    expect(replicationStatus).toEqual({ line: 2, elected: true, quorumSequence: 5 });
  });

  it('both together give everything back', async () => {
    const { dataDir, a, b } = await coreOfTwo(1);
    expect((await drill(dataDir, [a, b])).output.at(-1)).toBe('the same: 3 events could be restored');
  });
});

describe('a host that breaks every connection', () => {
  it('is named by a restore, however early it does so', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).resetAndDestroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const key = formatRecoveryKey(RootKey.generate());
    // Sometimes Node's fetch never reports the broken connection: the request then times out.
    const restores = Array.from({ length: 4 }, async () => restoreInto(await newDataDir(), key, [url]));
    for (const { code, errors } of await Promise.all(restores)) {
      expect(errors).toEqual([
        expect.stringMatching(/^sheratan: http:\S+ There was no answer.*It is left out\.$/),
        'sheratan: No host has answered with a valid head. Start the hosts, or check --hosts.',
      ]);
      expect(code).toBe(78);
    }
  });
});
