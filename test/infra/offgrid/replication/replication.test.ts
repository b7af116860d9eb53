import { describe, expect, it, onTestFinished } from 'vitest';
import { isReplicated } from '../../../../src/domain/event.js';
import { corePaths } from '../../../../src/infra/platform/core-paths.js';
import type { RunningHost } from '../../../../src/infra/offgrid/host/server.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { TestNode } from '../../../support/node.js';
import { AUTH_KEY, newHost } from '../../../support/offgrid/host.js';

const WAIT = { timeout: 120_000 };

/** A core that replicates to hosts. */
async function coreWith(hosts: readonly Pick<RunningHost, 'url'>[], env: Readonly<Record<string, string>> = {}) {
  const node = await TestNode.start({
    OFFGRID_STORAGE_ENABLED: 'true',
    OFFGRID_STORAGE_HOSTS: hosts.map(({ url }) => url).join(','),
    OFFGRID_AUTH_KEY: AUTH_KEY,
    ...env,
  });
  onTestFinished(() => node.stop());
  return node;
}

async function outboxOf(node: TestNode): Promise<{ id: number; key: string; etype: number; status: string }[]> {
  const file = await Connection.open(corePaths(node.folder).outbox, 'read');
  try {
    return await file.all('SELECT id, key, etype, status FROM outbox ORDER BY id');
  } finally {
    await file.close();
  }
}

describe('replication', () => {
  it('ships replicated events to every host, and completes the outbox once a quorum has signed', async () => {
    const hosts = [await newHost(), await newHost()];
    const node = await coreWith(hosts);
    await expect.poll(async () => (await outboxOf(node)).map(({ etype }) => etype), WAIT).toEqual([23, 20]);
    await node.gql('mutation { createMission(input: { title: "T" }) { __typename } }');
    await expect
      .poll(() => outboxOf(node), WAIT)
      .toEqual([
        { id: 1, key: 'keyring-core-v2', etype: 23, status: 'completed' },
        { id: 2, key: 'replication-core-v2', etype: 20, status: 'completed' },
        { id: 3, key: expect.stringMatching(/^mission-/), etype: 10, status: 'completed' },
      ]);
    for (const { url } of hosts) {
      const response = await fetch(`${url}/memory/query`);
      const { events } = (await response.json()) as { events: { etype: number }[] };
      expect(events.map(({ etype }) => etype).sort()).toEqual([10, 20, 23]);
    }
    expect(node.logged).toEqual([]);
  });

  it('leaves no gaps in the sequence: a restore appends it by its revisions', async () => {
    const host = await newHost();
    const node = await coreWith([host]);
    const { log } = node.services;
    const lastOf = async () => {
      let last: string | undefined;
      for await (const { type } of log.readAll()) last = type;
      return last;
    };
    await expect.poll(lastOf, WAIT).toBe('ReplicasAcknowledged');
    await node.gql(`mutation { confirmHost(id: "${host.identity.id}") { __typename } }`);
    await expect.poll(lastOf, WAIT).toBe('ReplicasAcknowledged');
    const next = new Map<string, bigint>();
    for await (const event of log.readAll()) {
      if (!isReplicated(event)) continue;
      const { stream, revision } = event;
      expect({ stream, revision }).toEqual({ stream, revision: next.get(stream) ?? 0n });
      next.set(stream, revision + 1n);
    }
    expect(next.get('replication-core-v2')).toBe(2n);
  });
});
