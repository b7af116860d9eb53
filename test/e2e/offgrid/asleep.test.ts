import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TestNode } from '../../support/node.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { HostProcess } from '../../support/offgrid/host-process.js';
import { newMission, replicating, settled, settledMachine, statusOf, WAIT } from '../../support/offgrid/machine.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

/** How long a process is stopped, in milliseconds: longer than what holds a lease between two cores. */
const ASLEEP_MS = 4_000;
const HOUR_MS = 3_600_000;

describe('a laptop that was asleep', () => {
  it('resumes automatically, although its connections are gone and its hosts were restarted meanwhile', async () => {
    const folder = await newFolder();
    const host = await HostProcess.start(folder);
    const link = await UnfriendlyLink.to(host.host.url, new Random(1));
    const { core } = await settledMachine([link.url]);
    await newMission(core, {}, 'REPLICATED');
    const unanswered = newMission(core);
    core.signal('SIGSTOP');
    link.sever();
    await host.kill();
    link.retarget((await HostProcess.start(folder)).host.url);
    await delay(ASLEEP_MS);
    core.signal('SIGCONT');
    await unanswered;
    await settled(core, 4);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, writerEpoch: 1 });
  });

  it('resumes although its clock is hours ahead', async () => {
    const link = await UnfriendlyLink.to((await newHost()).url, new Random(1));
    const core = await TestNode.start(replicating([link.url]));
    onTestFinished(() => core.stop());
    await settled(core);
    link.cut();
    await newMission(core);
    await expect.poll(async () => (await statusOf(core)).hosts[0].reached, WAIT).toBe(false);
    core.clock.advance(9 * HOUR_MS);
    link.mend();
    await settled(core, 3);
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
    expect(await statusOf(core)).toMatchObject({ stopped: null, degraded: false });
  });
});
