import { expect, it } from 'vitest';
import { electionStatus } from '../../../../src/infra/offgrid/replication/election-status.js';
import type { HostClient } from '../../../../src/infra/offgrid/protocol/host-client.js';
import { overSilentLink } from '../../../support/offgrid/broken-link.js';
import { readBackForTest } from '../../../support/offgrid/reading-back.js';
import { ReplicatingCore, WAIT } from '../../../support/offgrid/replicating-core.js';
import { coreOfThree } from '../../../support/offgrid/three-hosts.js';

it('a restored log that leaves a host out lacks the weight of another host until that one is heard', async () => {
  const { a, b, c, core, settings, length } = await coreOfThree();
  const { root } = core;
  await Promise.all([b.stop(), c.stop()]);
  await core.record(3);
  await expect.poll(async () => (await a.head(root)).tree?.sequence, WAIT).toBe(length + 3);
  await core.stop();
  await Promise.all([b.restart(), c.restart()]);
  const read = await readBackForTest({ root, hosts: [b, c] });
  await read.log.close();
  let answer: () => void = () => undefined;
  const silence = new Promise<void>((resolve) => (answer = resolve));
  // The host is silent for as long as that takes: an unreachable one would soon not be waited for.
  const between = (client: HostClient) => (client.url === c.url ? overSilentLink(client, silence) : client);
  const restored = await ReplicatingCore.start({ ...settings, folder: read.folder, root, between });
  const status = async () => {
    const { policies } = await restored.known();
    const inPlay = policies.map(({ policy }) => policy);
    const { elected, missingWeight, mayLie } = electionStatus(restored.replicator, inPlay, 0);
    return { granted: restored.replicator.writer.granted.size, elected, missingWeight, mayLie };
  };
  await expect.poll(status, WAIT).toEqual({ granted: 2, elected: false, missingWeight: 1, mayLie: null });
  answer();
  await expect.poll(status, WAIT).toMatchObject({ elected: true, missingWeight: 0 });
  await restored.settles();
});
