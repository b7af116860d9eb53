import { describe, expect, it, onTestFinished } from 'vitest';
import { corePaths } from '../../src/infra/platform/core-paths.js';
import { Connection } from '../../src/infra/sqlite/connection.js';
import { newDataDir, Sheratan } from '../support/core.js';
import type { Untyped } from '../support/node.js';
import { quietPort } from '../support/ports.js';

/** The longest that a test waits for a condition. */
const WAIT = { timeout: 60_000, interval: 50 };

async function json(url: string): Promise<Untyped> {
  return (await fetch(url)).json();
}

/** Everything a machine runs, each on a port that is this test's own. */
async function machine() {
  const [hostA, hostB, broker] = [await quietPort(), await quietPort(), await quietPort()];
  const dataDir = await newDataDir();
  const env = {
    OFFGRID_STORAGE_ENABLED: 'true',
    OFFGRID_STORAGE_HOSTS: `http://127.0.0.1:${hostA},http://127.0.0.1:${hostB}`,
    OFFGRID_BROKER_URL: `http://127.0.0.1:${broker}`,
  };
  const up = new Sheratan(['up'], dataDir, env);
  onTestFinished(() => up.kill());
  await up.listening();
  return {
    up,
    dataDir,
    core: up.url,
    hosts: [`http://127.0.0.1:${hostA}`, `http://127.0.0.1:${hostB}`],
    broker: `http://127.0.0.1:${broker}`,
  };
}

async function outboxOf(
  dataDir: string,
): Promise<readonly { id: number; key: string; etype: number; status: string }[]> {
  const file = await Connection.open(corePaths(dataDir).outbox, 'read');
  try {
    return await file.all('SELECT id, key, etype, status FROM outbox;');
  } finally {
    await file.close();
  }
}

describe('the walkthrough', () => {
  it('works as it is written: event types on a host, jobs completed in the outbox, batches at the broker', async () => {
    const { up, dataDir, core, hosts, broker } = await machine();
    // The hosts have been met.
    await expect.poll(async () => (await outboxOf(dataDir)).map(({ etype }) => etype), WAIT).toEqual([23, 20]);

    // 1. Event types: create a mission, and find its type in a host's memory.
    const response = await fetch(`${core}/api/missions`, {
      method: 'POST',
      body: '{"title":"Test","description":"X"}',
    });
    expect(response.status).toBe(201);
    const { id } = (await response.json()) as Untyped;
    for (const host of hosts) {
      await expect
        .poll(
          async () => (await json(`${host}/memory/query?limit=1`)).events.map((event: Untyped) => event.etype),
          WAIT,
        )
        .toEqual([10]);
    }

    // 2. Outbox persistence: jobs with status 'completed'.
    await expect
      .poll(() => outboxOf(dataDir), WAIT)
      .toEqual([
        { id: 1, key: 'keyring-core-v2', etype: 23, status: 'completed' },
        { id: 2, key: 'replication-core-v2', etype: 20, status: 'completed' },
        { id: 3, key: `mission-${id}`, etype: 10, status: 'completed' },
      ]);

    // The core has reported a batch to the broker, and the hosts have reported that they run.
    await expect
      .poll(
        async () =>
          (await json(`${broker}/quorum/list?kind=replica`)).map((one: Untyped) => [one.finalized, one.acks.length]),
        WAIT,
      )
      .toContainEqual([true, 2]);
    await expect
      .poll(async () => (await json(`${broker}/hosts`)).map(({ state }: Untyped) => state), WAIT)
      .toEqual(['active', 'active']);
    expect(await up.stop()).toEqual({ code: 0, signal: null });
  });
});
