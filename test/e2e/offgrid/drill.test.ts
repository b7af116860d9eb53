import { describe, expect, it } from 'vitest';
import { corePaths } from '../../../src/infra/platform/core-paths.js';
import { Connection } from '../../../src/infra/sqlite/connection.js';
import { Sheratan, newDataDir } from '../../support/core.js';
import { newHost } from '../../support/offgrid/host.js';
import { LyingHost, type LieName } from '../../support/offgrid/lying-host.js';
import {
  drill,
  newMission,
  newMissions,
  recoveryKeyOf,
  replicating,
  restoreInto,
  settled,
  settledMachine,
  titlesOf,
} from '../../support/offgrid/machine.js';
import { copyOf, RestartableHost } from '../../support/offgrid/replicating-core.js';

/** Three hosts, two of which are a quorum, and a core of three events that each has. */
async function machineOfThree() {
  const start = () => RestartableHost.start();
  const hosts = [await start(), await start(), await start()];
  const urls = hosts.map(({ url }) => url);
  const { core, dataDir } = await settledMachine(urls);
  await newMission(core, { title: 'kept' });
  await settled(core, 3);
  return { hosts, urls, core, dataDir, at: hosts.map(({ url, id }) => `${url}#${id}`) };
}

describe('a drill', () => {
  it('fails where hosts give back less than this core knows to be at quorum', async () => {
    const { hosts, core, dataDir, at } = await machineOfThree();
    for (const host of hosts) await host.stop();
    const old = await Promise.all(hosts.map(({ folder }) => copyOf(folder)));
    for (const host of hosts) await host.restart();
    await newMissions(core, 2, { title: 'forgotten by all' });
    await settled(core, 5);
    await core.kill();
    expect((await drill(dataDir, at)).output.at(-1)).toBe('the same: 5 events could be restored');
    for (const [i, host] of hosts.entries()) {
      await host.stop();
      await host.restart({ folder: old[i]! });
    }
    const { code, output } = await drill(dataDir, at);
    expect(output.at(-1)).toBe('TOO FEW: this core knows that 5 events are at quorum, but the hosts give back only 3');
    expect(code).toBe(1);
  });

  it('fails where the history is not the one of this core, or this core is an older copy', async () => {
    const { urls, core, dataDir, at } = await machineOfThree();
    await core.kill();
    const [older, other] = [await copyOf(dataDir), await copyOf(dataDir)];
    const again = await Sheratan.serve(dataDir, replicating(urls));
    await newMission(again, { title: 'of the core' });
    await settled(again, 4);

    const late = await drill(older, at);
    expect(late.errors.at(-1)).toBe(
      'sheratan: The hosts have 4 events and this log has only 3: this log is older than what was shipped.',
    );
    expect(late.code).toBe(1);

    const alone = await Sheratan.serve(other);
    await newMission(alone, { title: 'of its copy, which ships nothing' });
    const parted = await drill(other, at);
    expect(parted.output.at(-1)).toBe('DIFFERENT: event 4 of the hosts is not event 4 of this core');
    expect(parted.code).toBe(1);
    // Nothing was claimed, and no core is stopped.
    expect(await newMission(again, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
  });

  it('is refused where the outbox belongs to another log, because what hosts have of this one is unknown', async () => {
    const { core, dataDir, at } = await machineOfThree();
    await core.kill();
    const outbox = await Connection.open(corePaths(dataDir).outbox, 'write');
    await outbox.run("UPDATE generations SET log_id = 'other1'");
    await outbox.close();
    const { code, errors } = await drill(dataDir, at);
    expect(errors.at(-1)).toMatch(/outbox\.db was built from log other1; this is log \w{6}: .*replay outbox --reset/);
    expect(code).not.toBe(0);
  });
});

describe('a host that answers a drill well and a restore badly', () => {
  const LIED: readonly LieName[] = ['oldTree', 'inventedTree', 'withheld', 'wrongContents', 'wrongEntries', 'garbage'];

  it('does no harm where the weight that is heard is enough: everything is restored, and the host is named', async () => {
    const [b, c] = [await newHost(), await newHost()];
    const liar = await LyingHost.of(await newHost());
    const { core, dataDir } = await settledMachine([liar.url, b.url, c.url]);
    await newMissions(core, 3, { title: 'kept' });
    await settled(core, 5);
    const at = [`${liar.url}#${liar.id}`, ...[b, c].map(({ url, identity }) => `${url}#${identity.id}`)];
    const green = await drill(dataDir, at);
    expect(green).toMatchObject({ code: 0 });
    expect(green.output).toContain('dishonesty    hosts of weight 1 may have been dishonest without harm');
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    for (const lie of LIED) {
      liar.lie = lie;
      const elsewhere = await newDataDir();
      const { code, errors } = await restoreInto(elsewhere, key, at);
      expect([lie, code]).toEqual([lie, 0]);
      // An old tree is signed by the origin, and ranks below the others' trees.
      if (lie !== 'oldTree') expect(errors.join('\n')).toContain(liar.url);
      const restored = await Sheratan.serve(elsewhere);
      expect(await titlesOf(restored)).toEqual(['kept', 'kept', 'kept']);
      await restored.kill();
    }
  });

  it('was the only basis of the drill where it was heard alone, and the drill reported that no host may be dishonest', async () => {
    const [liar, b] = [await LyingHost.of(await newHost()), await newHost()];
    const { core, dataDir } = await settledMachine([liar.url, b.url], { OFFGRID_REQUIRED_ACKS: '2' });
    await newMissions(core, 3, { title: 'kept' });
    await settled(core, 5);
    const [alone, both] = [[`${liar.url}#${liar.id}`], [`${liar.url}#${liar.id}`, `${b.url}#${b.identity.id}`]];
    const green = await drill(dataDir, alone);
    expect(green).toMatchObject({ code: 0 });
    expect(green.output).toContain('dishonesty    hosts of weight 0 may have been dishonest without harm');
    const declared = await drill(dataDir, alone, '--dishonest-weight', '1');
    expect(declared.code).not.toBe(0);
    expect(declared.errors.at(-1)).toMatch(
      /Policy 1 requires more than 1 of the weight 2 to answer \(1 of it may be dishonest\)/,
    );
    const key = await recoveryKeyOf(dataDir);
    await core.kill();
    liar.lie = 'oldTree';
    const elsewhere = await newDataDir();
    expect(await restoreInto(elsewhere, key, both, '--dishonest-weight', '1')).toMatchObject({ code: 0 });
    expect(await titlesOf(await Sheratan.serve(elsewhere))).toEqual(['kept', 'kept', 'kept']);
  });
});
