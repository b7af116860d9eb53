import { describe, expect, it, onTestFinished } from 'vitest';
import { TestClock, TestNode } from '../../support/node.js';
import { newHost } from '../../support/offgrid/host.js';
import { drill, newMission, replicating, settled } from '../../support/offgrid/machine.js';

const HOUR_MS = 3_600_000;

describe('clocks that are hours off', () => {
  it('on hosts and on the core, in either direction, break nothing', async () => {
    const [ahead, behind] = [new TestClock(), new TestClock()];
    ahead.advance(5 * HOUR_MS);
    behind.advance(-7 * HOUR_MS);
    const hosts = [await newHost({ clock: ahead }), await newHost({ clock: behind, name: 'host-b' })];
    const core = await TestNode.start(replicating(hosts.map(({ url }) => url)));
    onTestFinished(() => core.stop());
    await settled(core);
    for (const hours of [9, -30, 24 * 400]) {
      core.clock.advance(hours * HOUR_MS);
      behind.advance(-hours * HOUR_MS);
      expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    }
    await settled(core, 5);
    const named = hosts.map(({ url, identity }) => `${url}#${identity.id}`);
    const drilled = await drill(core.folder, named);
    expect(drilled.output.at(-1)).toBe('the same: 5 events could be restored');
    expect(core.logged).toEqual([]);
  });
});
