import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newFolder } from '../../support/offgrid/host.js';
import { HostProcess } from '../../support/offgrid/host-process.js';
import {
  type Asked,
  hostAt,
  newMission,
  settled,
  settledMachine,
  statusOf,
  WAIT,
} from '../../support/offgrid/machine.js';
import { FAIR, UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';
import type { Untyped } from '../../support/node.js';

/** A core of three hosts, two of which must sign; to one of them there is a link. */
async function besideOneInTrouble() {
  const [folder, random] = [await newFolder(), new Random(1)];
  const hosts = [await HostProcess.start(await newFolder()), await HostProcess.start(await newFolder())];
  const troubled = await HostProcess.start(folder);
  const link = await UnfriendlyLink.to(troubled.host.url, random);
  const { core } = await settledMachine([...hosts.map(({ host }) => host.url), link.url]);
  return { core, troubled, folder, link, random };
}

/** Makes a mission, and waits until a quorum has signed for it, which takes no longer than it may. */
async function replicated(core: Asked): Promise<void> {
  expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
}

/** How many events a host holds. */
async function countOf(url: string): Promise<number> {
  const response = await fetch(`${url}/memory/query?limit=1000`);
  return ((await response.json()) as Untyped).count;
}

describe('a host that is down', () => {
  it('delays no caller, is shown immediately, and catches up automatically when it is back', async () => {
    const { core, troubled, folder, link } = await besideOneInTrouble();
    await troubled.kill();
    link.sever();
    for (let i = 0; i < 10; i += 1) await replicated(core);
    await expect.poll(() => statusOf(core), WAIT).toMatchObject({ degraded: true, quorumSequence: 12, pending: 0 });
    expect(await hostAt(core, link.url)).toMatchObject({
      state: 'ACTIVE',
      reached: false,
      behind: 10,
      lastError: expect.stringContaining('There was no answer'),
    });

    const again = await HostProcess.start(folder);
    link.retarget(again.host.url);
    await settled(core, 12);
    expect(await countOf(link.url)).toBe(12);
  });
});

describe('a host that is slow', () => {
  it('delays no caller, is shown with how far it is behind, and catches up', async () => {
    const { core, link } = await besideOneInTrouble();
    link.weather = { ...FAIR, delayMs: 4_000 };
    for (let i = 0; i < 10; i += 1) await replicated(core);
    // Its answer to the first of them has not arrived yet, or has just arrived.
    const { behind, state } = await hostAt(core, link.url);
    expect(state).toBe('ACTIVE');
    expect(behind).toBeGreaterThan(0);
    link.weather = FAIR;
    await settled(core, 12);
    expect(await countOf(link.url)).toBe(12);
  });
});

describe('a host that is connected now and then', () => {
  it('delays no caller, and has every event once when it remains connected', async () => {
    const { core, link, random } = await besideOneInTrouble();
    let isOver = false;
    const flapping = (async () => {
      while (!isOver) {
        link.cut();
        await delay(random.between(10, 60));
        link.mend();
        await delay(random.between(200, 400));
        // Long enough to ship something: a host that never accepts anything is tried less and less often.
        while (!isOver && (await hostAt(core, link.url)).lastError !== null) await delay(25);
      }
    })();
    // It is waited for at the end; it may fail before.
    flapping.catch(() => undefined);
    onTestFinished(() => {
      isOver = true;
    });
    for (let i = 0; i < 40; i += 1) {
      await replicated(core);
      await delay(25);
    }
    isOver = true;
    await flapping;
    await settled(core, 42);
    expect(await countOf(link.url)).toBe(42);
  });
});
