import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startOldBroker } from '../../support/broker/python.js';
import { newBroker } from '../../support/broker/broker.js';
import { systemClock } from '../../../src/infra/platform/clock.js';
import { TestNode, type Untyped } from '../../support/node.js';
import { Front, type Handler } from '../../support/offgrid/front.js';
import { AUTH_KEY, newHost } from '../../support/offgrid/host.js';
import { newMission, UNREACHABLE, replicating, settled, WAIT } from '../../support/offgrid/machine.js';

/** A core with two hosts and a broker. */
async function coreBeside(broker: string): Promise<TestNode> {
  const hosts = [await newHost(), await newHost({ name: 'host-b' })];
  const core = await TestNode.start(
    replicating(
      hosts.map(({ url }) => url),
      { OFFGRID_BROKER_URL: broker },
    ),
  );
  onTestFinished(() => core.stop());
  return core;
}

/** States that the core replicates as if there were no broker. */
async function isUnaffected(core: TestNode): Promise<void> {
  await settled(core);
  for (let i = 0; i < 5; i += 1)
    expect(await newMission(core, {}, 'REPLICATED')).toMatchObject({ durability: 'REPLICATED' });
  await settled(core, 7);
}

const json = (value: unknown): ReturnType<Handler> =>
  Promise.resolve({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(value)),
  });

function* forEver(): Generator<Buffer> {
  for (;;) yield Buffer.alloc(64 * 1024, 0x61);
}

const lies: readonly { what: string; handler: Handler }[] = [
  {
    what: 'makes false statements about records and hosts',
    handler: ({ path }) =>
      json(
        path.startsWith('/hosts')
          ? [{ node_id: 'f'.repeat(32), id: 'f'.repeat(32), state: 'active', score: 1e9, url: UNREACHABLE }]
          : { ok: true, finalized: true, sum_w: 1e9, required: 0, acks: [{ id: 'x', ts: -1, w: 1e9 }] },
      ),
  },
  { what: 'refuses everything', handler: () => Promise.resolve({ status: 401, headers: {}, body: Buffer.from('no') }) },
  {
    what: 'gives unreadable answers',
    handler: () => Promise.resolve({ status: 200, headers: {}, body: Buffer.alloc(1_000, 0xff) }),
  },
  {
    what: 'never ends an answer',
    handler: () => Promise.resolve({ status: 200, headers: {}, body: Readable.from(forEver()) }),
  },
  { what: 'never answers', handler: () => new Promise(() => undefined) },
];

describe('replication beside a broker', () => {
  it('that is down continues', async () => {
    await isUnaffected(await coreBeside(UNREACHABLE));
  });

  it('that is an old one continues, and reports its batches to it', async () => {
    const broker = await startOldBroker(AUTH_KEY);
    onTestFinished(broker.stop);
    await isUnaffected(await coreBeside(broker.url));
    const list = async (): Promise<Untyped> => (await fetch(`${broker.url}/quorum/list?kind=replica`)).json();
    await expect.poll(async () => JSON.stringify(await list()), WAIT).toContain('core-v2:');
  });

  it.each(lies)('that $what continues', async ({ handler }) => {
    const broker = await Front.of((await newBroker(systemClock)).url);
    broker.handler = handler;
    await isUnaffected(await coreBeside(broker.url));
    expect(broker.asked.length).toBeGreaterThan(0);
  });
});
