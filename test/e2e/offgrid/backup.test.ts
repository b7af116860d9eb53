import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { newDataDir, Sheratan } from '../../support/core.js';
import { newFolder } from '../../support/offgrid/host.js';
import { HostProcess } from '../../support/offgrid/host-process.js';
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
import { evidenceOf, inHostFile, NO_EVIDENCE } from '../../support/offgrid/host-file.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

/** A core that continued after its backup was taken, and of which only the backup is left. */
async function backInTime() {
  const folder = await newFolder();
  const host = await HostProcess.start(folder);
  const link = await UnfriendlyLink.to(host.host.url, new Random(1));
  const { core, dataDir } = await settledMachine([link.url]);
  await newMission(core, { title: 'before' });
  await settled(core, 3);
  await core.stop();
  const { folder: files } = corePaths(dataDir);
  const backup = join(await newDataDir(), 'backup');
  await cp(files, backup, { recursive: true });

  const later = await Sheratan.serve(dataDir, replicating([link.url]));
  for (const title of ['after 1', 'after 2']) await newMission(later, { title }, 'REPLICATED');
  await later.kill();
  await rm(files, { recursive: true });
  await cp(backup, files, { recursive: true });
  return { folder, link, dataDir, pinned: [`${link.url}#${host.host.identity.id}`] };
}

/** What a host keeps when the core has continued: only events of the head. */
const LATER = { head: 5, events: 5, beside: 0 };

/** How many events a host keeps: of the head, in all, and where what is staged contradicts the head. */
function countsOf(folder: string): Promise<object[]> {
  return inHostFile(
    folder,
    `SELECT head_sequence AS head, (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM head_tails) AS beside
     FROM origins`,
  );
}

async function isRefused(core: Sheratan, code: string): Promise<void> {
  await expect.poll(async () => (await statusOf(core)).stopped?.code, WAIT).toBe(code);
  const { errors } = await core.ask('mutation { createMission(input: { title: "No" }) { __typename } }');
  expect(errors[0]).toMatchObject({
    extensions: { code: 'REPLICATION_STOPPED' },
    message: expect.stringMatching(new RegExp(`${code}.*sheratan restore`, 's')),
  });
  const ready = await fetch(`${core.url}/readyz`);
  expect(await ready.json()).toMatchObject({ reasons: [`replication: ${code}`] });
}

describe('a backup of the core, put back while the hosts are ahead,', () => {
  it.each([
    { what: 'with the record of its writer', hasRecord: true },
    { what: 'without the record of its writer', hasRecord: false },
  ])('$what, stops when the first host answers; a restore gets everything', async ({ hasRecord }) => {
    const { folder, link, dataDir, pinned } = await backInTime();
    if (!hasRecord) await rm(corePaths(dataDir).writer);
    const core = await Sheratan.serve(dataDir, replicating([link.url]));
    await isRefused(core, 'BEHIND');
    expect(await titlesOf(core)).toEqual(['before']);
    const key = await recoveryKeyOf(dataDir);
    await core.stop();
    expect(await evidenceOf(folder)).toEqual(NO_EVIDENCE);
    // Nothing was sent to the host but a claim.
    expect(await countsOf(folder)).toEqual([LATER]);

    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });
    const restored = await Sheratan.serve(elsewhere, replicating([link.url]));
    await newMission(restored, { title: 'continues' }, 'REPLICATED');
    expect(await titlesOf(restored)).toEqual(['after 1', 'after 2', 'before', 'continues']);
    // A restored core records its policy again.
    expect(await settled(restored, 7)).toMatchObject({ stopped: null, headSequence: 7, quorumSequence: 7 });
    expect(await evidenceOf(folder)).toEqual(NO_EVIDENCE);
  });

  it('and used before any host answers, is another history, which is detected and never continues silently', async () => {
    const { folder, link, dataDir, pinned } = await backInTime();
    link.cut();
    const core = await Sheratan.serve(dataDir, replicating([link.url]));
    await newMission(core, { title: 'another history' });
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ headSequence: 4, hosts: [{ reached: false }] });
    link.mend();
    await isRefused(core, 'BEHIND');
    expect(await titlesOf(core)).toEqual(['another history', 'before']);
    expect(await statusOf(core)).toMatchObject({ headSequence: 4, quorumSequence: 3 });
    // The host is unchanged: what another process has at quorum is not set aside for this history.
    expect(await evidenceOf(folder)).toEqual(NO_EVIDENCE);
    expect(await countsOf(folder)).toMatchObject([{ head: LATER.head, beside: 0 }]);
    const key = await recoveryKeyOf(dataDir);
    await core.stop();
    const again = await Sheratan.serve(dataDir, replicating([link.url]));
    await isRefused(again, 'BEHIND');
    await again.stop();

    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, pinned)).toMatchObject({ code: 0 });
    const restored = await Sheratan.serve(elsewhere, replicating([link.url]));
    expect(await titlesOf(restored)).toEqual(['after 1', 'after 2', 'before']);
    await settled(restored, 6);
  });
});
