import { describe, expect, it } from 'vitest';
import { newDataDir, Sheratan } from '../../support/core.js';
import { newFolder } from '../../support/offgrid/host.js';
import { HostProcess } from '../../support/offgrid/host-process.js';
import {
  FIRST_EVENTS,
  newMission,
  newMissions,
  recoveryKeyOf,
  replicating,
  restoreInto,
  settled,
  settledMachine,
  statusOf,
  titlesOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { evidenceOf, inHostFile } from '../../support/offgrid/raw.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

/** Two hosts with a link to each, and how they are named in a restore. */
async function twoHosts() {
  const folders = [await newFolder(), await newFolder()] as const;
  const hosts = [await HostProcess.start(folders[0]), await HostProcess.start(folders[1], { name: 'host-b' })] as const;
  const links = [
    await UnfriendlyLink.to(hosts[0].client.url, new Random(1)),
    await UnfriendlyLink.to(hosts[1].client.url, new Random(2)),
  ] as const;
  const pinned = await Promise.all(
    links.map(async ({ url }, i) => `${url}#${(await (hosts[i] ?? hosts[0]).client.key()).host}`),
  );
  return { folders, links, urls: links.map(({ url }) => url), pinned };
}

/** The addresses of the events of a host, in order. */
async function addressesOf(folder: string): Promise<readonly string[]> {
  const rows = await inHostFile<{ eid: string }>(folder, 'SELECT hex(eid) AS eid FROM events ORDER BY sequence');
  return rows.map(({ eid }) => eid);
}

describe('a core that was restored while the old one is alive', () => {
  it('fences the old one, which takes no more commands and says why; nothing is accepted twice', async () => {
    const { urls, pinned, folders } = await twoHosts();
    const { core: old, dataDir } = await settledMachine(urls);
    await newMission(old, { title: 'before' });
    await settled(old, 3);
    const key = await recoveryKeyOf(dataDir);
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });

    // What it has not heard of yet it cannot know: this one is on its own disk alone.
    await newMission(old, { title: 'too late' });
    await expect.poll(async () => (await statusOf(old)).stopped?.code, WAIT).toBe('FENCED');
    const refused = await old.ask('mutation { createMission(input: { title: "No" }) { __typename } }');
    expect(refused.errors[0]).toMatchObject({
      extensions: { code: 'REPLICATION_STOPPED' },
      message: expect.stringMatching(/FENCED.*another log.*sheratan export --unreplicated.*sheratan restore/s),
    });
    const ready = await fetch(`${old.url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ reasons: ['replication: FENCED'] });
    expect(await titlesOf(old)).toEqual(['before', 'too late']);

    const restored = await Sheratan.serve(elsewhere, replicating(urls));
    await newMission(restored, { title: 'after' });
    await settled(restored, 4);
    expect(await titlesOf(restored)).toEqual(['after', 'before']);
    expect(await statusOf(old)).toMatchObject({ stopped: { code: 'FENCED' }, quorumSequence: 3 });
    const [a, b] = [await addressesOf(folders[0]), await addressesOf(folders[1])];
    expect(a).toEqual(b);
    expect(a).toHaveLength((await statusOf(restored)).headSequence);
    expect(new Set(a).size).toBe(a.length);

    // It stays fenced, whoever starts it again.
    await old.kill();
    const again = await Sheratan.serve(dataDir, replicating(urls));
    const still = await again.ask('mutation { createMission(input: { title: "No" }) { __typename } }');
    expect(still.errors[0].extensions.code).toBe('REPLICATION_STOPPED');
  });
});

describe('a tail that only one host had when the core died', () => {
  /** A core that is gone; its last three missions are on the first host alone. */
  async function halfShipped() {
    const parts = await twoHosts();
    const { urls, links } = parts;
    const { core, dataDir } = await settledMachine(urls, { OFFGRID_REQUIRED_ACKS: '1' });
    await newMission(core, { title: 'on both' });
    await settled(core, 3);
    links[1].cut();
    for (const title of ['tail 1', 'tail 2', 'tail 3']) await newMission(core, { title }, 'REPLICATED');
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    links[1].mend();
    return { ...parts, key };
  }

  it('is adopted by a restore that reaches that host, and comes to the other', async () => {
    const { pinned, urls, key, folders } = await halfShipped();
    const dataDir = await newDataDir();
    expect(await restoreInto(dataDir, key, [...pinned].reverse())).toMatchObject({ code: 0 });
    const core = await Sheratan.serve(dataDir, replicating(urls, { OFFGRID_REQUIRED_ACKS: '1' }));
    await newMission(core, { title: 'after' });
    await settled(core, 7);
    expect(await titlesOf(core)).toEqual(['after', 'on both', 'tail 1', 'tail 2', 'tail 3']);
    expect(await addressesOf(folders[0])).toEqual(await addressesOf(folders[1]));
    expect([await evidenceOf(folders[0]), await evidenceOf(folders[1])]).toEqual([[], []]);
  });

  it('is set aside as evidence when another story went on without it; that host goes on', async () => {
    const { pinned, urls, links, key, folders } = await halfShipped();
    const dataDir = await newDataDir();
    links[0].cut();
    const refused = await restoreInto(dataDir, key, pinned);
    expect(refused.code).not.toBe(0);
    expect(refused.errors.join('\n')).toContain('--accept-loss');
    expect(await restoreInto(dataDir, key, pinned, '--accept-loss')).toMatchObject({ code: 0 });

    const core = await Sheratan.serve(dataDir, replicating(urls, { OFFGRID_REQUIRED_ACKS: '1' }));
    await newMissions(core, 2, { title: 'another story' });
    links[0].mend();
    await settled(core, FIRST_EVENTS + 3);
    expect(await titlesOf(core)).toEqual(['another story', 'another story', 'on both']);
    expect(await addressesOf(folders[0])).toEqual(await addressesOf(folders[1]));
    expect(await evidenceOf(folders[0])).toEqual([
      { kind: 'SET_ASIDE', sequence: 4, epoch: 1 },
      { kind: 'SET_ASIDE', sequence: 5, epoch: 1 },
      { kind: 'SET_ASIDE', sequence: 6, epoch: 1 },
    ]);
    expect(await newMission(core, { title: 'goes on' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    await settled(core, FIRST_EVENTS + 4);
  });
});
