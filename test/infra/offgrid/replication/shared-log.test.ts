import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { startStandIn } from '../../../support/log-server.js';
import { TestNode } from '../../../support/node.js';
import { replicating, statusOf, WAIT } from '../../../support/offgrid/core.js';
import { newHost } from '../../../support/offgrid/host.js';

/** Longer than a lease that was released is free, in milliseconds. */
const TAKEN_MS = 3_000;

async function serverUrl(): Promise<string> {
  const server = await startStandIn();
  onTestFinished(() => server.stop());
  return server.url;
}

async function coreOn(settings: Readonly<Record<string, string>>): Promise<TestNode> {
  const node = await TestNode.start(settings);
  onTestFinished(() => node.stop());
  return node;
}

it.each([
  ['has no key', {}, 'KEYRING_MISSING'],
  ['has another origin', { SHERATAN_ORIGIN: 'another' }, 'KEYRING_MISSING'],
  ['does not replicate', { OFFGRID_STORAGE_ENABLED: 'false' }, null],
])('a core that %s leaves replication to the others of its log', async (_, env, refusal) => {
  const settings = { SHERATAN_EVENTSTORE_URL: await serverUrl(), ...replicating([await newHost()]) };
  const one = await coreOn(settings);
  expect(await one.mutate('createMission', { title: 'One' }, { consistency: 'REPLICATED' })).toMatchObject({
    durability: 'REPLICATED',
  });
  const other = await coreOn({ ...settings, ...env });
  await one.halt();
  await delay(TAKEN_MS);
  await other.mutate('createMission', { title: 'Two' });
  expect((await statusOf(other)).refusal).toBe(refusal);
  await one.restart();
  expect(await one.mutate('createMission', { title: 'Three' }, { consistency: 'REPLICATED' })).toMatchObject({
    durability: 'REPLICATED',
  });
  await expect.poll(() => statusOf(one), WAIT).toMatchObject({ pending: 0, refusal: null });
});

it('a core whose root key is not that of the log lets go of the lease', async () => {
  const url = await serverUrl();
  const host = await newHost();
  const settings = { SHERATAN_EVENTSTORE_URL: url, ...replicating([host]) };
  // Both make a key, because the log has none when they start; only one of them is recorded.
  const cores = await Promise.all([coreOn(settings), coreOn(settings)]);
  await expect
    .poll(
      async () => (await Promise.all(cores.map((core) => statusOf(core)))).map(({ headSequence }) => headSequence),
      WAIT,
    )
    .toEqual([2, 2]);
  for (const core of cores) await core.halt();
  for (const core of cores.toReversed()) await core.restart();
  await delay(TAKEN_MS);
  const changes = () =>
    Promise.all(cores.map((core) => core.mutate('createMission', { title: 'T' }, { consistency: 'REPLICATED' })));
  await expect
    .poll(async () => (await changes()).map(({ durability }) => String(durability)), WAIT)
    .toContain('REPLICATED');
});
