import { describe, expect, it } from 'vitest';
import type { TestNode, Untyped } from '../../support/node.js';
import { settledCore, statusOf, WAIT } from '../../support/offgrid/core.js';
import { newFolder, newHost } from '../../support/offgrid/host.js';
import { LyingHost } from '../../support/offgrid/lying-host.js';
import { quietPort } from '../../support/ports.js';

/** Restarts a core, with changed hosts. */
async function restarted(node: TestNode, change: () => Promise<unknown>): Promise<void> {
  await node.halt();
  await change();
  await node.restart();
}

describe('the election of a core', () => {
  it('is shown, with the missing weight, the staged events and the weight that may be dishonest', async () => {
    const folder = await newFolder();
    const hosts = [await newHost(), await newHost({ folder, port: await quietPort() }), await newHost()];
    const node = await settledCore(hosts);
    await expect.poll(() => statusOf(node), WAIT).toMatchObject({ elected: true, missingWeight: 0, mayLie: 1 });
    await restarted(node, () => Promise.all(hosts.slice(1).map((host) => host.close())));
    await node.newMission();
    const [only] = hosts;
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({
        elected: false,
        // Two of three must be heard, and one was heard.
        missingWeight: 1,
        mayLie: null,
        staged: [{ host: only?.identity.id, events: 3 }],
        ...{ headSequence: 3, quorumSequence: 2, pending: 1, stopped: null },
      });
    await newHost({ folder, port: Number(new URL(hosts[1]?.url ?? '').port) });
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({ elected: true, missingWeight: 0, mayLie: 0, staged: [], quorumSequence: 3 });
  });

  it('requires more weight when more weight may be dishonest', async () => {
    const hosts = [await newHost(), await newHost(), await newHost()];
    const node = await settledCore(hosts, { OFFGRID_DISHONEST_WEIGHT: '1' });
    await restarted(node, () => hosts[2]?.close() ?? Promise.resolve());
    await expect
      .poll(() => statusOf(node), WAIT)
      .toMatchObject({ elected: false, missingWeight: 1, mayLie: 0, quorumSequence: 2, stopped: null });
  });
});

describe('what a host shows and proves', () => {
  it('is shown: the damage that it reports, and how it has proven itself dishonest', async () => {
    const [honest, host] = [await newHost(), await newHost()];
    const liar = await LyingHost.of(host);
    const node = await settledCore([honest, liar]);
    const shown = async () => (await statusOf(node)).hosts.find(({ id }: Untyped) => id === liar.id);
    expect(await shown()).toMatchObject({ damaged: 0, proof: null });
    liar.lie = 'forgetful';
    await node.newMission();
    await expect
      .poll(shown, WAIT)
      .toMatchObject({ state: 'SUSPENDED', proof: { kind: 'BATCH', at: expect.stringMatching(/^\d{4}-.*Z$/) } });
    // The proof is shown as long as the host is suspended.
    liar.lie = undefined;
    const reinstate = 'mutation ($id: ID!) { setHostState(id: $id, state: ACTIVE) { __typename } }';
    await node.gql(reinstate, { id: liar.id });
    await expect.poll(shown, WAIT).toMatchObject({ state: 'ACTIVE', proof: null });
  });
});
