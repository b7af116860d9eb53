import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
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
} from '../../support/offgrid/machine.js';
import { inHostFile } from '../../support/offgrid/raw.js';
import { clientOf, ORIGIN } from '../../support/offgrid/writer.js';

/** Contents of so many characters are files on a host. */
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

describe('a bit that was flipped on a host,', () => {
  it.each([
    { where: 'in a file', flip: flipInFile, sequence: 4 },
    { where: 'in a row', flip: flipInRow, sequence: 3 },
  ])('$where, is named by a drill, which takes the event from another', async ({ flip, sequence }) => {
    const { folder, core, dataDir, hosts, pinned } = await coreOfTwo();
    await flip(folder, sequence);
    const { code, output, errors } = await drill(dataDir, pinned);
    expect(output.at(-1)).toBe('the same: 5 events could be restored');
    expect(code).toBe(0);
    expect(errors).toEqual([
      expect.stringMatching(
        new RegExp(
          `${hosts[0].identity.id}\\) is not asked any further: .*Event ${sequence} \\([0-9a-f]{64}\\) is damaged`,
        ),
      ),
    ]);
    // What it signed for before it still counts, and it goes on.
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ degraded: false });
  });

  it('in the last event, is mended when that is shipped again by the next writer', async () => {
    const { folder, core, dataDir, hosts, urls, pinned } = await coreOfTwo();
    await flipInFile(folder, 5);
    await expect(clientOf(hosts[0]).events(ORIGIN, 0, 10)).rejects.toMatchObject({ code: 'DAMAGED' });
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });
    const restored = await Sheratan.serve(elsewhere, replicating(urls));
    await newMission(restored, {}, 'REPLICATED');
    await settled(restored, 6);
    expect(await clientOf(hosts[0]).events(ORIGIN, 0, 10)).toHaveLength(6);
  });
});
