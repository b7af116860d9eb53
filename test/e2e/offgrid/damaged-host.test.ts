import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunningHost } from '../../../src/infra/offgrid/host/server.js';
import { decodeStoredEvents } from '../../../src/infra/offgrid/protocol/events-answer.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import {
  drill,
  newMission,
  recoveryKeyOf,
  replicating,
  restoreInto,
  settled,
  settledMachine,
  statusOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { ORIGIN, send } from '../../support/offgrid/by-hand.js';
import { inHostFile } from '../../support/offgrid/host-file.js';

/** A length in characters at which a host keeps a content in a file. */
const LARGE = 5_000;

/** A core of two hosts that keep three small events and two large ones; the number of the last is 5. */
async function coreOfTwo() {
  const folder = await newFolder();
  const hosts = [await newHost({ folder }), await newHost({ name: 'host-b' })] as const;
  const urls = hosts.map(({ url }) => url);
  const { core, dataDir } = await settledMachine(urls);
  await newMission(core);
  for (let i = 0; i < 2; i += 1) await newMission(core, { description: 'x'.repeat(LARGE) });
  await settled(core, 5);
  return { folder, core, dataDir, hosts, urls, pinned: hosts.map(({ url, identity }) => `${url}#${identity.id}`) };
}

/** Flips a bit in the middle of a large event on a host. */
async function flipInFile(folder: string, sequence: number): Promise<void> {
  const [row] = await inHostFile<{ eid: string }>(
    folder,
    `SELECT lower(hex(eid)) AS eid FROM events WHERE sequence = ${sequence} AND sealed IS NULL`,
  );
  const eid = row?.eid ?? '';
  const path = join(folder, 'blobs', eid.slice(0, 2), eid);
  const bytes = await readFile(path);
  const middle = bytes.byteLength >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

/** Flips a bit of a small event on a host. */
async function flipInRow(folder: string, sequence: number): Promise<void> {
  const [row] = await inHostFile<{ sealed: Uint8Array }>(
    folder,
    `SELECT sealed FROM events WHERE sequence = ${sequence}`,
  );
  const bytes = Buffer.from(row?.sealed ?? []);
  const middle = bytes.byteLength >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await inHostFile(
    folder,
    `UPDATE events SET sealed = x'${bytes.toString('hex')}' WHERE sequence = ${sequence}`,
    'write',
  );
}

/** The numbers of the events that a host claims to have, and of those that it does not give. */
async function givenBy(host: RunningHost) {
  const events = decodeStoredEvents(await send(host, `/replica/${ORIGIN}/events`));
  return {
    count: events.length,
    missing: events.flatMap(({ sealed, sequence }) => (sealed === null ? [sequence] : [])),
  };
}

describe('a bit that was flipped on a host,', () => {
  it.each([
    { where: 'in a file', flip: flipInFile, sequence: 4 },
    { where: 'in a row', flip: flipInRow, sequence: 3 },
  ])(
    '$where, is named by a drill that has that host alone; another gives the event, and the core mends it',
    async ({ flip, sequence }) => {
      const { folder, core, dataDir, hosts, urls, pinned } = await coreOfTwo();
      // A running core would mend it meanwhile.
      await core.stop();
      await flip(folder, sequence);
      const alone = await drill(dataDir, pinned.slice(0, 1));
      expect(alone.code).not.toBe(0);
      const errorText = alone.errors.join('\n');
      expect(errorText).toMatch(
        new RegExp(`${hosts[0].identity.id}\\): it does not give all of the events 1 to 5 as they were sealed`),
      );
      expect(errorText).toContain(`no host gives event ${sequence} of a history of 5 events`);
      expect(errorText).toMatch(/Not all of the first 5 events that the origin has signed can be obtained/);

      const { code, output, errors } = await drill(dataDir, pinned);
      expect(output.at(-1)).toBe('the same: 5 events could be restored');
      expect(code).toBe(0);
      // Whether the damaged host is asked depends on chance; no other host is named.
      for (const error of errors) expect(error).toContain(`${hosts[0].identity.id}): it does not give`);
      expect(await givenBy(hosts[0])).toEqual({ count: 5, missing: [sequence] });

      // It counts again once it is intact, and is not considered dishonest.
      const again = await Sheratan.serve(dataDir, replicating(urls));
      expect(await newMission(again, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
      await settled(again, 6);
      await expect.poll(() => givenBy(hosts[0]), WAIT).toEqual({ count: 6, missing: [] });
      const { hosts: known, ...status } = await statusOf(again);
      expect(status).toMatchObject({ degraded: false, stopped: null });
      for (const host of known) expect(host).toMatchObject({ state: 'ACTIVE' });
      const mended = await drill(dataDir, pinned.slice(0, 1));
      expect(mended.output.at(-1)).toBe('the same: 6 events could be restored');
      expect(mended.errors).toEqual([]);
    },
  );

  it('once it is found, is mended by the running core, which continues meanwhile', async () => {
    const { folder, core, hosts } = await coreOfTwo();
    await flipInFile(folder, 4);
    expect(await givenBy(hosts[0])).toEqual({ count: 5, missing: [4] });
    await expect.poll(() => givenBy(hosts[0]), WAIT).toEqual({ count: 5, missing: [] });
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await settled(core, 6)).toMatchObject({ degraded: false, stopped: null });
  });

  it('in the last event, is mended by the next writer, a restored core', async () => {
    const { folder, core, dataDir, hosts, urls, pinned } = await coreOfTwo();
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    await flipInFile(folder, 5);
    expect(await givenBy(hosts[0])).toEqual({ count: 5, missing: [5] });
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });
    const restored = await Sheratan.serve(elsewhere, replicating(urls));
    await newMission(restored, {}, 'REPLICATED');
    // Its policy, which it has recorded again, and the mission.
    await settled(restored, 7);
    await expect.poll(() => givenBy(hosts[0]), WAIT).toEqual({ count: 7, missing: [] });
  });
});
