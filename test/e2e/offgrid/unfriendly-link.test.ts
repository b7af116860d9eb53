import { describe, expect, it } from 'vitest';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { newMission, settledMachine, statusOf } from '../../support/offgrid/machine.js';
import { inHostFile } from '../../support/offgrid/host-file.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

/** A quarter of a second there and back, a modem's speed, and every twentieth segment lost. */
const STORM = { delayMs: 100, bytesPerSecond: 8_000, loss: 0.05, tear: 0.01 };
const MISSIONS = 150;

describe('a core on an unfriendly link', () => {
  it('converges: all of its hosts have every event once and in order', { timeout: 240_000 }, async () => {
    const folders = [await newFolder(), await newFolder()] as const;
    const links: UnfriendlyLink[] = [];
    for (const folder of folders)
      links.push(await UnfriendlyLink.to((await newHost({ folder })).url, new Random(5 + links.length), STORM));
    const { core } = await settledMachine(links.map(({ url }) => url));
    for (let i = 0; i < MISSIONS; i += 1) await newMission(core);
    await expect
      .poll(() => statusOf(core), { timeout: 150_000, interval: 200 })
      .toMatchObject({ headSequence: MISSIONS + 2, quorumSequence: MISSIONS + 2, degraded: false, stopped: null });
    for (const folder of folders) {
      const rows = await inHostFile<{ sequence: number }>(folder, 'SELECT sequence FROM events ORDER BY sequence');
      expect(rows.map(({ sequence }) => sequence)).toEqual(Array.from({ length: MISSIONS + 2 }, (_, i) => i + 1));
    }
    expect(links.reduce((sum, { torn }) => sum + torn, 0)).toBeGreaterThan(0);
  });
});
