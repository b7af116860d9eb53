import { chmod, cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readKeyring } from '../../../../src/infra/crypto/keyring-file.js';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import { newFolder } from '../../../support/offgrid/host.js';
import { ReplicatingCore, RestartableHost, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { replicatedEvents } from '../../../support/offgrid/three-hosts.js';

const GOLDEN = join(import.meta.dirname, '../../../golden/0.1/core');

/** The folder of a core as version 0.1 left it, whose events were at quorum at hosts of protocol 1. */
async function folderOfToday() {
  const folder = await newFolder();
  await cp(GOLDEN, folder, { recursive: true });
  await chmod(join(folder, 'keyring.json'), 0o600);
  const root = await readKeyring(join(folder, 'keyring.json'), undefined);
  if (root === undefined) throw new Error('the folder has no keyring');
  return { folder, root, origin: 'golden' };
}

describe('a core’s folder of protocol 1', () => {
  it('is taken over: everything is shipped again, in a line of its own and an epoch above', async () => {
    const [a, b] = [await RestartableHost.start(), await RestartableHost.start()];
    const today = await folderOfToday();
    const log = await EmbeddedLog.open(join(today.folder, 'log.db'), systemClock);
    const before = await replicatedEvents(log);
    await log.close();
    const core = await ReplicatingCore.start({ ...today, hosts: wanted(a, b), required: 2 });
    // Its events were at quorum at hosts of protocol 1, until its line begins.
    await expect.poll(async () => (await core.known()).line, WAIT).toBe(2);
    const length = await core.settles();
    expect(length).toBe(before.length + 1);
    const { line, begun, elected } = await core.known();
    expect([line, begun, elected?.base]).toEqual([2, length, length]);
    // It claims again when its line begins.
    const epoch = elected?.epoch ?? 0;
    expect(epoch).toBeGreaterThan(1);
    for (const host of [a, b])
      expect(await host.head(core.root, 'golden')).toMatchObject({
        ...{ tree: { line: 2, epoch, sequence: length }, staged: null },
      });
    await core.stop();
    const record: unknown = JSON.parse(await readFile(join(today.folder, 'writer.json'), 'utf8'));
    expect(record).toEqual({ logId: core.log.logId, epoch });
    const next = await ReplicatingCore.start({ ...today, hosts: wanted(a, b), required: 2 });
    await next.record(2);
    expect(await next.settles()).toBe(length + 2);
    expect(await next.known()).toMatchObject({ line: 2, elected: { epoch: epoch + 1 } });
  });

  it('waits for its new hosts, and reports nothing as replicated before they have it', async () => {
    const [a, b] = [await RestartableHost.start(), await RestartableHost.start()];
    const today = await folderOfToday();
    await b.stop();
    const core = await ReplicatingCore.start({ ...today, hosts: wanted(a, b), required: 2 });
    await core.record(1);
    await expect.poll(() => core.replicator.failureOf(b.url), WAIT).toBeDefined();
    expect((await core.known()).line).toBe(1);
    await b.restart();
    await expect.poll(async () => (await core.known()).line, WAIT).toBe(2);
    await core.settles();
  });
});
