import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Sheratan } from '../../support/core.js';
import { mountSmallDisk } from '../../support/file-limits.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { HostProcess } from '../../support/offgrid/host-process.js';
import {
  drill,
  hostAt,
  newMission,
  replicating,
  retryHost,
  settled,
  settledMachine,
  statusOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import type { Untyped } from '../../support/node.js';
import { Random } from '../../support/random.js';

const MIB = 1024 * 1024;
const LARGE = { description: 'x'.repeat(10_000) };
/** One of two hosts is enough, which must be permitted explicitly: a restore then needs both. */
const ONE_OF_TWO = { OFFGRID_REQUIRED_ACKS: '1', OFFGRID_ALLOW_MINORITY: 'true' };

/** A small disk of its own, with a file that fills part of it. */
async function smallDisk(bytes: number, filled: number) {
  const disk = join(await newFolder(), 'disk');
  const unmount = await mountSmallDisk(disk, bytes);
  onTestFinished(async () => {
    await unmount();
  });
  const filler = join(disk, 'filler');
  await writeFile(filler, Buffer.alloc(filled));
  return { disk, makeRoom: () => rm(filler) };
}

/** Makes missions, one after the other, until a host is full. */
async function fill(core: Sheratan, url: string): Promise<Untyped> {
  for (let i = 0; i < 400; i += 1) {
    expect(await newMission(core, LARGE, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    const host = await hostAt(core, url);
    if (host.state === 'FULL') return host;
  }
  throw new Error('it is never full');
}

describe('a host without room', () => {
  it('by its budget is shown as FULL, delays no caller, and continues where it stopped when it has more', async () => {
    const folder = await newFolder();
    const small = await HostProcess.start(folder, { budgetBytes: 100_000 });
    const link = await UnfriendlyLink.to(small.host.url, new Random(1));
    const { core } = await settledMachine([(await newHost()).url, link.url], ONE_OF_TWO);
    const full = await fill(core, link.url);
    expect(full.why).toMatch(/do not fit into the budget: \d+ of 100000 are used\. Nothing was taken or dropped/);
    expect(await statusOf(core)).toMatchObject({ degraded: true, stopped: null });
    const { headSequence } = await statusOf(core);
    await small.stop();
    link.retarget((await HostProcess.start(folder)).host.url);
    expect(await retryHost(core, full.id)).toEqual({ host: { state: 'ACTIVE' } });
    await settled(core, headSequence);
  });

  it('on its disk is shown as FULL, keeps what it signed for, and continues when there is space', async () => {
    const { disk, makeRoom } = await smallDisk(6 * MIB, 5 * MIB);
    const small = await HostProcess.start(join(disk, 'host'));
    const other = await newHost();
    const { core, dataDir } = await settledMachine([other.url, small.host.url], ONE_OF_TWO);
    const full = await fill(core, small.host.url);
    expect(full.why).toContain('The disk of this host is full. Nothing was taken or dropped.');
    await makeRoom();
    expect(await retryHost(core, full.id)).toEqual({ host: { state: 'ACTIVE' } });
    const { headSequence } = await settled(core);
    const hosts = [`${small.host.url}#${full.id}`, `${other.url}#${other.identity.id}`];
    const drilled = await drill(dataDir, hosts);
    // The disk is removed with the test, which is impossible while it is in use.
    await small.stop();
    expect(drilled.errors).toEqual([]);
    expect(drilled.output.at(-1)).toBe(`the same: ${headSequence} events could be restored`);
  });
});

describe('a core whose disk is full', () => {
  it('refuses commands with the reason, and replicates the rest once there is space: nothing is lost or duplicated', async () => {
    const { disk, makeRoom } = await smallDisk(8 * MIB, 4 * MIB);
    const hosts = [await newHost(), await newHost({ name: 'host-b' })];
    const urls = hosts.map(({ url }) => url);
    const core = await Sheratan.serve(disk, replicating(urls, { SHERATAN_LOG_LEVEL: 'silent' }));
    await settled(core);
    const made: string[] = [];
    let refused: Untyped;
    while (refused === undefined) {
      const { data, errors } = await core.ask(
        `mutation ($input: CreateMissionInput!) {
          createMission(input: $input, consistency: APPENDED) { ... on CreateMissionPayload { mission { id } } }
        }`,
        { input: { title: 'A mission', ...LARGE } },
      );
      refused = errors?.[0];
      if (refused === undefined) made.push(data.createMission.mission.id);
    }
    expect(refused).toMatchObject({
      extensions: { code: 'LOG_FULL' },
      message: expect.stringMatching(/nothing was written\. Free space/),
    });
    await makeRoom();
    await expect
      .poll(
        () =>
          newMission(core).then(
            ({ id }) => made.push(id),
            () => 0,
          ),
        WAIT,
      )
      .toBeGreaterThan(0);
    expect(await settled(core, made.length + 2)).toMatchObject({ headSequence: made.length + 2, stopped: null });
    // The other read model had no space either, and tries again automatically.
    const missions = async () => (await core.gql('{ missions { totalCount } }')).missions.totalCount;
    await expect.poll(missions, WAIT).toBe(made.length);
    const drilled = await drill(
      disk,
      hosts.map(({ url, identity }) => `${url}#${identity.id}`),
    );
    expect(drilled.output.at(-1)).toBe(`the same: ${made.length + 2} events could be restored`);
    expect(await core.stop()).toEqual({ code: 0, signal: null });
    expect(await Sheratan.run(['verify'], disk)).toMatchObject({ code: 0 });
  });
});
