import { describe, expect, it } from 'vitest';
import { newDataDir, Sheratan } from '../../support/core.js';
import type { Untyped } from '../../support/node.js';
import { newHost } from '../../support/offgrid/host.js';
import { newMission, replicating, settled, statusOf, WAIT } from '../../support/offgrid/machine.js';
import { UnfriendlyLink } from '../../support/offgrid/unfriendly-link.js';
import { Random } from '../../support/random.js';

/** Hosts with a link to each. */
async function linked(count: number): Promise<readonly UnfriendlyLink[]> {
  const links: UnfriendlyLink[] = [];
  while (links.length < count)
    links.push(
      await UnfriendlyLink.to((await newHost({ name: `host-${links.length}` })).url, new Random(links.length)),
    );
  return links;
}

/** The policy in force and its progress, whether anything counts, and how many hosts keep everything, counted or not. */
async function standing(core: Sheratan) {
  const { policyVersion, quorumSequence, headSequence, hosts } = await statusOf(core);
  const { replicationStatus } = await core.gql(
    '{ replicationStatus { elected missingWeight staged { host events } } }',
  );
  const { elected, missingWeight, staged } = replicationStatus;
  const hasStaged = (id: string) => staged.some((one: Untyped) => one.host === id && one.events === headSequence);
  const keptBy: number = hosts.filter(({ id, behind }: Untyped) => behind === 0 || hasStaged(id)).length;
  return { policyVersion, quorumSequence, headSequence, keptBy, elected, missingWeight };
}

describe('another policy, by other settings,', () => {
  it('is in force only once its own event is at quorum under the old and the new; before, hosts of both must be heard', async () => {
    const [a, b, c] = (await linked(3)) as [UnfriendlyLink, UnfriendlyLink, UnfriendlyLink];
    const dataDir = await newDataDir();
    const start = (hosts: readonly string[], required: number) =>
      Sheratan.serve(dataDir, replicating(hosts, { OFFGRID_REQUIRED_ACKS: String(required) }));

    const first = await start([a.url, b.url], 2);
    expect(await settled(first)).toMatchObject({ policyVersion: 1, requiredAcks: 2 });
    await first.stop();

    // A host is added while an old one is away: under the new policy there would be a quorum, under the old one not even
    // an election. The hosts that are reachable keep what is new, and none of it counts.
    b.cut();
    const added = await start([a.url, b.url, c.url], 2);
    const before = await newMission(added);
    expect(before.durability).toBe('APPENDED');
    const unelected = { elected: false, missingWeight: 1 };
    await expect
      .poll(() => standing(added), WAIT)
      .toEqual({ policyVersion: 1, quorumSequence: 2, headSequence: 4, keptBy: 2, ...unelected });
    b.mend();
    expect(await settled(added, 4)).toMatchObject({ policyVersion: 2, requiredAcks: 2 });
    expect(await standing(added)).toMatchObject({ keptBy: 3, elected: true, missingWeight: 0 });

    await added.stop();

    // Weights change, and more is required, while the one that carries them is away: under the old policy there would be a
    // quorum, under the new one there is none.
    a.cut();
    const weighed = await start([`${a.url}*3`, b.url, c.url], 3);
    await newMission(weighed);
    await expect
      .poll(() => standing(weighed), WAIT)
      .toMatchObject({ policyVersion: 2, quorumSequence: 4, headSequence: 6, keptBy: 2 });
    a.mend();
    expect(await settled(weighed, 6)).toMatchObject({ policyVersion: 3, requiredAcks: 3 });
    await weighed.stop();

    // Two are removed, while another of the old policy is away: the one that remains is enough for both.
    b.cut();
    c.cut();
    const removed = await start([a.url], 1);
    expect(await settled(removed, 7)).toMatchObject({ policyVersion: 4, requiredAcks: 1, headSequence: 7 });
    expect(await newMission(removed, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
  }, 240_000);
});
