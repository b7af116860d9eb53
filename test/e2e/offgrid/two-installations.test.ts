import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import {
  newMission,
  newMissions,
  UNREACHABLE,
  recoveryKeyOf,
  replicating,
  settled,
  statusOf,
  titlesOf,
} from '../../support/offgrid/machine.js';
import { inHostFile } from '../../support/offgrid/host-file.js';

/** An installation with its own name and hosts. */
interface Van {
  readonly core: Sheratan;
  readonly dataDir: string;
  readonly env: Record<string, string>;
  readonly hosts: readonly RunningHost[];
}

async function van(name: string, dataDir: string, hosts: readonly RunningHost[]): Promise<Van> {
  const env = replicating(
    hosts.map(({ url }) => url),
    { SHERATAN_ORIGIN: name },
  );
  return { core: await Sheratan.serve(dataDir, env), dataDir, env, hosts };
}

/** Van 1 on its arrival: it has rotated its key, replaced a host and confirmed the new one; it has more events than van 2. */
async function busyVan(): Promise<Van> {
  const dataDir = await newDataDir();
  const [a, b, c] = [await newHost(), await newHost({ name: 'host-b' }), await newHost({ name: 'host-c' })];
  const first = await van('van-1', dataDir, [a, b]);
  await settled(first.core);
  await newMissions(first.core, 10, { title: 'by van 1' });
  await first.core.gql('mutation { rotateKey { __typename } }');
  await settled(first.core, 13);
  await first.core.stop();
  const second = await van('van-1', dataDir, [a, c]);
  await newMissions(second.core, 10, { title: 'by van 1' });
  await second.core.gql(`mutation { confirmHost(id: "${c.identity.id}") { __typename } }`);
  await settled(second.core, 25);
  return second;
}

/** @returns the path of what `sheratan export` wrote */
async function exportOf({ dataDir, env }: Van, ...options: readonly string[]): Promise<string> {
  const path = join(await newDataDir(), 'van-1.ndjson');
  const { code } = await Sheratan.run(['export', path, ...options], dataDir, env);
  // The exit code shows that damaged events were left out.
  expect(code).toBe(options.includes('--skip-damaged') ? 1 : 0);
  return path;
}

/** What van 2 promises after an import: all of its events, and none of van 1, are on its own hosts. */
async function expectPromisesKept(two: Van, titles: readonly string[]): Promise<void> {
  const { core, dataDir, hosts } = two;
  const made = await newMission(core, { title: 'by van 2, afterwards' }, 'REPLICATED');
  expect(made.durability).toBe('REPLICATED');
  const status = await settled(core);
  expect(status.hosts.map(({ id, weight }: { id: string; weight: number }) => [id, weight]).sort()).toEqual(
    hosts.map(({ identity }) => [identity.id, 1]).sort(),
  );
  expect(status).toMatchObject({ pending: 0, quorumSequence: status.headSequence, refusal: null, stopped: null });
  const rotated = await core.gql('mutation { rotateKey { __typename ... on RotateKeyPayload { keyEpoch } } }');
  expect(rotated.rotateKey).toMatchObject({ keyEpoch: 2 });
  await newMission(core, { title: 'under its second key' });
  const { headSequence } = await settled(core, Number(status.headSequence) + 2);
  const all = [...titles, 'by van 2, afterwards', 'under its second key'].sort();
  expect(await titlesOf(core)).toEqual(all);

  const pinned = hosts.map(({ url, identity }) => `${url}#${identity.id}`);
  const drilled = await Sheratan.run(['restore', '--drill', '--hosts', pinned.join(',')], dataDir, two.env);
  expect(drilled.output.at(-1)).toBe(`the same: ${headSequence} events could be restored`);
  const key = await recoveryKeyOf(dataDir);
  await core.kill();
  const elsewhere = await newDataDir();
  const restore = ['restore', '--hosts', pinned.join(',')];
  const restored = await Sheratan.run(restore, elsewhere, { ...two.env, SHERATAN_RECOVERY_KEY: key });
  expect(restored).toMatchObject({ code: 0 });
  const again = await Sheratan.serve(elsewhere, two.env);
  expect(await titlesOf(again)).toEqual(all);
}

describe('an export of one installation, imported into another', () => {
  it('completely: into one that already runs, has missions of its own and fewer events', async () => {
    const one = await busyVan();
    const path = await exportOf(one);
    const two = await van('van-2', await newDataDir(), [await newHost({ name: 'host-x' })]);
    await newMission(two.core, { title: 'by van 2' });
    await settled(two.core, 3);
    const imported = await Sheratan.run(['import', path], two.dataDir, two.env);
    expect(imported.code).toBe(0);
    expect(imported.output[0]).toMatch(/: \d+ read, 20 added, 0 already present, 0 bad, \d+ set aside$/);
    // What it reports as replicated is on its own host, and nowhere else.
    await expectPromisesKept(two, ['by van 2', ...Array.from({ length: 20 }, () => 'by van 1')]);
  });

  it('into an empty folder: nothing is reported as replicated before its own hosts have it', async () => {
    const one = await busyVan();
    const path = await exportOf(one);
    const dataDir = await newDataDir();
    const env = replicating([UNREACHABLE], { SHERATAN_ORIGIN: 'van-2', SHERATAN_REPLICATED_TIMEOUT: '1' });
    expect(await Sheratan.run(['import', path], dataDir, env)).toMatchObject({ code: 0 });
    const alone = await Sheratan.serve(dataDir, env);
    expect(await newMission(alone, { title: 'alone' }, 'REPLICATED')).toMatchObject({ durability: 'PROJECTED' });
    expect(await statusOf(alone)).toMatchObject({ quorumSequence: 0, hosts: [], policyVersion: null });
    await alone.stop();
    const two = await van('van-2', dataDir, [await newHost({ name: 'host-x' })]);
    await expectPromisesKept(two, ['alone', ...Array.from({ length: 20 }, () => 'by van 1')]);
  });

  it('as what is left of a damaged log: unreadable events are missing, and the rest is imported', async () => {
    const one = await busyVan();
    await one.core.stop();
    const file = await Connection.open(corePaths(one.dataDir).log, 'write');
    await file.run("UPDATE events_1 SET data = '{}' WHERE type = 'MissionCreated' AND position % 2 = 0");
    await file.close();
    const path = await exportOf(one, '--skip-damaged');
    const left = (await readFile(path, 'utf8')).split('\n').filter((line) => line.includes('MissionCreated')).length;
    expect(left).toBeLessThan(20);
    const dataDir = await newDataDir();
    const env = replicating([UNREACHABLE], { SHERATAN_ORIGIN: 'van-2', SHERATAN_REPLICATED_TIMEOUT: '1' });
    await Sheratan.run(['import', path], dataDir, env);
    const alone = await Sheratan.serve(dataDir, env);
    expect(await newMission(alone, { title: 'alone' }, 'REPLICATED')).toMatchObject({ durability: 'PROJECTED' });
    const { pending } = await statusOf(alone);
    expect(pending).toBeGreaterThan(0);
    await alone.stop();
    const two = await van('van-2', dataDir, [await newHost({ name: 'host-x' })]);
    await expectPromisesKept(two, ['alone', ...Array.from({ length: left }, () => 'by van 1')]);
  });

  it('as what no quorum of the first has: the second decides it again', async () => {
    const one = await busyVan();
    for (const host of one.hosts) await host.close();
    await newMission(one.core, { title: 'kept by no host' });
    const path = await exportOf(one, '--unreplicated');
    const two = await van('van-2', await newDataDir(), [await newHost({ name: 'host-x' })]);
    expect(await Sheratan.run(['import', '--rebase', path], two.dataDir, two.env)).toMatchObject({ code: 0 });
    await expectPromisesKept(two, ['kept by no host']);
  });
});

describe('continuing in two places', () => {
  it('counts for each what its own hosts have', async () => {
    const one = await busyVan();
    const path = await exportOf(one);
    const [dataDir, folder] = [await newDataDir(), await newFolder()];
    const host = await newHost({ name: 'host-x', folder });
    const env = replicating([host.url], { SHERATAN_ORIGIN: 'van-1-copy' });
    expect(await Sheratan.run(['import', path], dataDir, env)).toMatchObject({ code: 0 });
    const copy = await Sheratan.serve(dataDir, env);
    const { quorumSequence } = await settled(copy, 22);
    expect(await inHostFile(folder, 'SELECT count(*) AS held FROM events')).toEqual([{ held: quorumSequence }]);
    expect(quorumSequence).toBe(22);
    expect(await newMission(one.core, { title: 'at home' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await newMission(copy, { title: 'away' }, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await inHostFile(folder, 'SELECT count(*) AS held FROM events')).toEqual([{ held: 23 }]);
    expect((await titlesOf(copy)).includes('at home')).toBe(false);
  });
});
