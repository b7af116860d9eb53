import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import type { StandIn } from '../../../support/eventstore/stand-in.js';
import { collect, idsOf, newEvent, newEvents, newStream } from '../../../support/events.js';
import { quiet } from '../../../support/quiet.js';
import { Random } from '../../../support/random.js';
import { Follower, idsIn, openLog, seed, startServer } from './setup.js';

/** Two nodes of a cluster, the first of which is the leader, and the address of the cluster. */
async function startCluster(): Promise<{ nodes: readonly [StandIn, StandIn]; urls: readonly string[] }> {
  const leader = await startServer();
  const follower = await startServer({ store: leader.store, role: 'follower' });
  const cluster = `esdb://127.0.0.1:${leader.port},127.0.0.1:${follower.port}?tls=false`;
  return { nodes: [leader, follower], urls: [leader.url, follower.url, cluster] };
}

/** Makes one node the leader, or no node. */
function elect(nodes: readonly StandIn[], leader?: StandIn): void {
  for (const node of nodes) node.role = 'follower';
  if (leader !== undefined) leader.role = 'leader';
}

describe('a cluster', () => {
  it('is called at its leader, whichever node is named', async () => {
    const { nodes, urls } = await startCluster();
    for (const url of urls) {
      const log = await openLog(url);
      const stream = newStream();
      const follower = new Follower(log);
      const { position } = await log.append(stream, newEvents(3), 'no-stream');
      expect(await log.head()).toBe(position);
      expect(await collect(log.readStream(stream))).toHaveLength(3);
      await follower.until('events', () => follower.events.at(-1)?.position === position);
      expect((await idsIn(log)).length).toBeGreaterThanOrEqual(3);
      await expect.poll(() => nodes[1].subscriptions).toBe(0);
      await log.close();
    }
  });

  it('is called at its leader although a follower is preferred', async () => {
    const { urls } = await startCluster();
    const log = await openLog(`${urls[2] ?? ''}&nodePreference=follower`);
    const { position } = await log.append(newStream(), [newEvent()], 'no-stream');
    expect(await log.head()).toBe(position);
  });

  for (const which of [0, 1, 2]) {
    const named = ['its first leader', 'its first follower', 'both nodes'][which] ?? '';
    it(`may change its leader in the middle of appends and subscriptions, when ${named} is named`, async () => {
      const { nodes, urls } = await startCluster();
      const log = await openLog(urls[which] ?? '');
      const random = new Random(41 + which);
      const follower = await new Follower(log).has(0);
      seed(nodes[0], 1_000, ['task-1']);
      let isDone = false;
      const changing = (async () => {
        for (let i = 1; !isDone; i += 1) {
          await delay(random.between(100, 300));
          const leader = nodes[i % 2];
          elect(nodes, random.chance(0.1) ? undefined : leader);
          if (random.chance(0.5)) for (const node of nodes) if (node !== leader) node.failSubscriptions('notLeader');
        }
        elect(nodes, nodes[0]);
      })();

      const events = newEvents(360);
      for (let from = 0; from < events.length; from += 60) {
        const some = events.slice(from, from + 60);
        await Promise.all(some.map((event, i) => log.append(`mission-${i % 30}`, [event], 'any')));
        await log.head();
        await delay(random.between(0, 200));
      }
      const ids = await idsIn(log);
      isDone = true;
      await changing;

      expect(ids.slice(-360)).toEqual(idsOf(events));
      await follower.has(1_360);
      expect(follower.ids).toEqual(ids);
      expect(follower.error).toBeUndefined();
    });
  }

  it('continues when its leader is gone, if both nodes are named', async () => {
    const { nodes, urls } = await startCluster();
    const log = await openLog(urls[2] ?? '');
    const follower = await new Follower(log).has(0);
    await log.append('mission-1', newEvents(2), 'no-stream');
    await nodes[0].refuse();
    const appending = log.append('mission-1', newEvents(2), 1n);
    await delay(300);
    elect(nodes, nodes[1]);
    expect(await appending).toMatchObject({ revision: 3n });
    await follower.has(4);
    await nodes[0].accept();
    elect(nodes, nodes[0]);
    await log.append('mission-1', newEvents(2), 3n);
    await follower.has(6);
  });

  it('continues although one of its nodes does not answer', async () => {
    const { nodes, urls } = await startCluster();
    nodes[1].stall();
    const startedAt = performance.now();
    const logs = await Promise.all(Array.from({ length: 4 }, () => openLog(urls[2] ?? '')));
    for (const log of logs) await log.append(newStream(), [newEvent()], 'any');
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    nodes[1].unstall();
  });

  it('that does not answer at all is disconnected when a log cannot be opened', async () => {
    const { nodes, urls } = await startCluster();
    for (const node of nodes) node.stall();
    const controller = new AbortController();
    const opening = EventStoreLog.open(readAddress(urls[2] ?? ''), quiet, controller.signal);
    await delay(200);
    controller.abort();
    await expect(opening).rejects.toMatchObject({ code: 'LOG_CLOSED' });
    // Each node is asked once.
    await expect.poll(() => nodes.map(({ connections }) => connections), { timeout: 10_000 }).toEqual([1, 1]);
    await delay(3_000);
    expect(nodes.map(({ accepted }) => accepted)).toEqual([1, 1]);
    for (const node of nodes) node.unstall();
  });

  it('without a leader is waited for', async () => {
    const { nodes, urls } = await startCluster();
    const logs = await Promise.all(urls.map((url) => openLog(url)));
    elect(nodes);
    const appending = logs.map((log) => log.append(newStream(), [newEvent()], 'any'));
    const heads = logs.map((log) => log.head());
    await delay(1_500);
    elect(nodes, nodes[1]);
    await Promise.all(appending);
    expect((await Promise.all(heads)).length).toBe(3);
    expect(await idsIn(logs[0] as never)).toHaveLength(3);
  });
});
