import { join } from 'node:path';
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
} from '../../support/offgrid/machine.js';
import { evidenceOf, inHostFile, NO_EVIDENCE } from '../../support/offgrid/host-file.js';
import { FAIR, UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

const WAIT = { timeout: 60_000, interval: 50 };

/** Hosts with a link to each, and how they are named in a restore. */
async function newHosts(count = 2) {
  const folders: string[] = [];
  const links: UnfriendlyLink[] = [];
  const pinned: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const folder = await newFolder();
    const { host } = await HostProcess.start(folder, { name: `host-${i}` });
    const link = await UnfriendlyLink.to(host.url, new Random(i + 1));
    folders.push(folder);
    links.push(link);
    pinned.push(`${link.url}#${host.identity.id}`);
  }
  return { folders, links, urls: links.map(({ url }) => url), pinned };
}

/** The addresses of the events of a host, in order. */
async function addressesOf(folder: string): Promise<readonly string[]> {
  const rows = await inHostFile<{ eid: string }>(folder, 'SELECT hex(eid) AS eid FROM events ORDER BY sequence');
  return rows.map(({ eid }) => eid);
}

/** Lets every mutation wait for as long as two cores that both claim may take. */
const PATIENT = { SHERATAN_REPLICATED_TIMEOUT: '60' };

/** A core whose one mission is on both hosts, and a folder that was restored from them. */
async function restoredBeside() {
  const parts = await newHosts();
  const { core: old, dataDir } = await settledMachine(parts.urls, PATIENT);
  await newMission(old, { title: 'before' });
  await settled(old, 3);
  const elsewhere = await newDataDir();
  expect(await restoreInto(elsewhere, await recoveryKeyOf(dataDir), parts.pinned)).toMatchObject({ code: 0 });
  const { folders } = parts;
  return { ...parts, folders: [folders[0] ?? '', folders[1] ?? ''] as const, old, dataDir, elsewhere };
}

/** States that a core takes no more commands, and reports this. */
async function expectStopped(core: Sheratan, code: 'BEHIND' | 'FORKED'): Promise<void> {
  await expect.poll(async () => (await statusOf(core)).stopped?.code, WAIT).toBe(code);
  const refused = await core.ask('mutation { createMission(input: { title: "No" }) { __typename } }');
  expect(refused.errors[0]).toMatchObject({
    extensions: { code: 'REPLICATION_STOPPED' },
    message: expect.stringMatching(/this log.*sheratan export --unreplicated.*sheratan restore/s),
  });
  const ready = await fetch(`${core.url}/readyz`);
  expect(ready.status).toBe(503);
  expect(refused.errors[0].message).toContain(`(${code})`);
  expect(await ready.json()).toMatchObject({ reasons: [`replication: ${code}`] });
}

describe('a core that was restored while the old one still runs', () => {
  it('ships first: the old one takes no more commands and reports why; nothing is accepted twice', async () => {
    const { urls, links, folders, old, dataDir, elsewhere } = await restoredBeside();
    // It is silent for a while, like a laptop that sleeps.
    old.signal('SIGSTOP');
    const restored = await Sheratan.serve(elsewhere, replicating(urls, PATIENT));
    await newMission(restored, { title: 'after' });
    // Once it is elected, a restored core records its policy again.
    await settled(restored, 5);
    for (const link of links) link.cut();
    old.signal('SIGCONT');

    // It cannot know of it before it hears from a host: this mission is only on its own disk.
    await newMission(old, { title: 'too late' });
    for (const link of links) link.mend();
    await expectStopped(old, 'BEHIND');
    expect(await titlesOf(old)).toEqual(['before', 'too late']);
    expect(await statusOf(old)).toMatchObject({ quorumSequence: 3, elected: false });

    // The restored core is fenced by this claim as well, and continues.
    expect(await newMission(restored, { title: 'more' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    await settled(restored, 6);
    expect(await titlesOf(restored)).toEqual(['after', 'before', 'more']);
    const [a, b] = [await addressesOf(folders[0]), await addressesOf(folders[1])];
    expect(a).toEqual(b);
    expect(a).toHaveLength((await statusOf(restored)).headSequence);
    expect(new Set(a).size).toBe(a.length);

    // It remains stopped after a restart.
    await old.kill();
    const again = await Sheratan.serve(dataDir, replicating(urls));
    const still = await again.ask('mutation { createMission(input: { title: "No" }) { __typename } }');
    expect(still.errors[0].extensions.code).toBe('REPLICATION_STOPPED');
  });

  it('leaves the old one a way back: what only the old one has is exported, and imported into a new restore', async () => {
    const { urls, pinned, folders, old, dataDir, elsewhere } = await restoredBeside();
    old.signal('SIGSTOP');
    const restored = await Sheratan.serve(elsewhere, replicating(urls, PATIENT));
    await newMission(restored, { title: 'after' });
    await settled(restored, 5);
    old.signal('SIGCONT');
    await expectStopped(old, 'BEHIND');
    await old.kill();
    await restored.kill();

    // It continues without hosts for a while.
    const alone = await Sheratan.serve(dataDir);
    await newMission(alone, { title: 'on this disk alone' });
    await alone.kill();
    const file = join(await newDataDir(), 'unreplicated.ndjson');
    expect(await Sheratan.run(['export', '--unreplicated', file], dataDir, replicating(urls))).toMatchObject({
      code: 0,
    });
    const again = await newDataDir();
    expect(await restoreInto(again, await recoveryKeyOf(dataDir), pinned)).toMatchObject({ code: 0 });
    const taken = await Sheratan.run(['import', '--rebase', file], again, replicating(urls));
    expect(taken).toMatchObject({ code: 0, errors: [] });
    expect(taken.output[0]).toBe('unreplicated.ndjson: 1 read, 1 added, 0 already present, 0 refused');

    const core = await Sheratan.serve(again, replicating(urls, PATIENT));
    expect(await newMission(core, { title: 'continues' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    // Three of the first core, two of the second, the import, the policy again, and one more.
    expect(await settled(core, 8)).toMatchObject({ headSequence: 8, line: 1, stopped: null });
    expect(await titlesOf(core)).toEqual(['after', 'before', 'continues', 'on this disk alone']);
    const [a, b] = [await addressesOf(folders[0]), await addressesOf(folders[1])];
    expect(a).toEqual(b);
    expect(a).toHaveLength(8);
  });

  it('stops no core by being restored; what the old one ships after that stops the restored one', async () => {
    const { urls, folders, old, elsewhere } = await restoredBeside();
    expect(await newMission(old, { title: 'meanwhile' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(old)).toMatchObject({ stopped: null, elected: true, writerEpoch: 1, quorumSequence: 4 });
    const restored = await Sheratan.serve(elsewhere, replicating(urls));
    // What it lacks is of the epoch that its own log was elected in last.
    await expectStopped(restored, 'FORKED');
    expect(await titlesOf(restored)).toEqual(['before']);

    // The old one was fenced by a claim, and claims again above it.
    expect(await newMission(old, { title: 'after' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await settled(old, 5)).toMatchObject({ stopped: null, headSequence: 5 });
    expect(await titlesOf(old)).toEqual(['after', 'before', 'meanwhile']);
    expect(await addressesOf(folders[0])).toEqual(await addressesOf(folders[1]));
  });
});

/** One of two may sign alone, which must be permitted explicitly. */
const ONE_OF_TWO = { OFFGRID_REQUIRED_ACKS: '1', OFFGRID_ALLOW_MINORITY: 'true' };

describe('a tail that only one host had when the core died', () => {
  /** A lost core whose last three missions are only on the first host. */
  async function halfShipped() {
    const parts = await newHosts();
    const { urls, links, folders } = parts;
    const { core, dataDir } = await settledMachine(urls, ONE_OF_TWO);
    await newMission(core, { title: 'on both' });
    await settled(core, 3);
    links[1]?.cut();
    for (const title of ['tail 1', 'tail 2', 'tail 3']) await newMission(core, { title }, 'REPLICATED');
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    links[1]?.mend();
    return { ...parts, first: links[0]!, folders: [folders[0]!, folders[1]!] as const, key };
  }

  it('is adopted by a restore that reaches that host, and is shipped to the other', async () => {
    const { pinned, urls, key, folders } = await halfShipped();
    const dataDir = await newDataDir();
    expect(await restoreInto(dataDir, key, [...pinned].reverse())).toMatchObject({ code: 0 });
    const core = await Sheratan.serve(dataDir, replicating(urls, ONE_OF_TWO));
    await newMission(core, { title: 'after' });
    // The six events, the policy again, and one new event.
    expect(await settled(core, 8)).toMatchObject({ headSequence: 8, line: 1 });
    expect(await titlesOf(core)).toEqual(['after', 'on both', 'tail 1', 'tail 2', 'tail 3']);
    expect(await addressesOf(folders[0])).toEqual(await addressesOf(folders[1]));
    for (const folder of folders) expect(await evidenceOf(folder)).toEqual(NO_EVIDENCE);
  });

  it('is set aside as evidence when another history continued without it, in a new line; that host continues', async () => {
    const { pinned, urls, first, key, folders } = await halfShipped();
    const dataDir = await newDataDir();
    first.cut();
    const refused = await restoreInto(dataDir, key, pinned);
    expect(refused.code).not.toBe(0);
    expect(refused.errors.join('\n')).toContain('--accept-loss');
    const accepted = await restoreInto(dataDir, key, pinned, '--accept-loss', 'core-v2');
    expect(accepted).toMatchObject({ code: 0 });
    expect(accepted.output.join('\n')).toMatch(/LOSS ACCEPTED .*\nline {10}2 begins/);

    const core = await Sheratan.serve(dataDir, replicating(urls, ONE_OF_TWO));
    await newMissions(core, 2, { title: 'another history' });
    // One of the two signs alone, but only both can show that nothing newer exists.
    await expect
      .poll(() => statusOf(core), WAIT)
      .toMatchObject({ line: 2, elected: false, missingWeight: 1, staged: [{ events: FIRST_EVENTS + 4 }] });
    first.mend();
    expect(await settled(core, FIRST_EVENTS + 4)).toMatchObject({ line: 2, stopped: null });
    expect(await titlesOf(core)).toEqual(['another history', 'another history', 'on both']);
    expect(await addressesOf(folders[0])).toEqual(await addressesOf(folders[1]));
    const { trees, events } = await evidenceOf(folders[0]);
    expect({ kinds: [...new Set(trees)], events }).toEqual({ kinds: ['SET_ASIDE'], events: [4, 5, 6] });
    expect(await newMission(core, { title: 'continues' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    await settled(core, FIRST_EVENTS + 5);
  });
});

describe('a tail that was never at quorum', () => {
  it('is left out by a restored core whose other hosts are a quorum, and set aside at its host', async () => {
    const { urls, links, pinned, folders } = await newHosts(3);
    const [first, second, third] = links;
    const { core, dataDir } = await settledMachine(urls);
    await newMission(core, { title: 'on all' });
    await settled(core, 3);
    second?.cut();
    third?.cut();
    await newMission(core, { title: 'tail' });
    await expect.poll(async () => (await addressesOf(folders[0]!)).length, WAIT).toBe(4);
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    second?.mend();
    third?.mend();
    first?.cut();
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });

    // The host with the tail is heard before the other two are a quorum.
    first?.mend();
    if (third !== undefined) third.weather = { ...third.weather, delayMs: 2_000 };
    const restored = await Sheratan.serve(elsewhere, replicating(urls));
    await newMission(restored, { title: 'after' });
    await expect
      .poll(() => statusOf(restored), WAIT)
      .toMatchObject({ elected: true, stopped: null, quorumSequence: 5 });
    const metrics = await (await fetch(`${restored.url}/metrics`)).text();
    expect(metrics).toMatch(/^sheratan_left_out_total 1$/m);
    if (third !== undefined) third.weather = FAIR;
    await settled(restored, 5);
    expect(await titlesOf(restored)).toEqual(['after', 'on all']);
    expect(await evidenceOf(folders[0]!)).toEqual({ trees: ['SET_ASIDE'], events: [4] });
    for (const folder of folders) expect(await addressesOf(folder)).toEqual(await addressesOf(folders[1]!));
  });
});
