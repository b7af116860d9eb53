import { expect } from 'vitest';
import { isReplicated } from '../../../src/domain/event.js';
import type { EventLog } from '../../../src/infra/eventlog/eventlog.js';
import { ReplicatingCore, RestartableHost, wanted, WAIT } from './replicating-core.js';

/** The replicated events of a log, without the fields that differ between logs. */
export async function replicatedEvents(log: EventLog): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const event of log.readAll()) {
    const { id, stream, revision, type, data, metadata } = event;
    if (isReplicated(event)) found.push({ id, stream, revision, type, data, metadata });
  }
  return found;
}

/** Three hosts, two of which are a quorum, and a running core whose events they all have. */
export async function coreOfThree({ events = 10 } = {}) {
  const start = () => RestartableHost.start();
  const [a, b, c] = [await start(), await start(), await start()];
  const settings = { hosts: wanted(a, b, c), required: 2 };
  const core = await ReplicatingCore.start(settings);
  await core.record(events);
  const length = await core.settles();
  for (const host of [a, b, c])
    await expect.poll(async () => (await host.head(core.root)).tree?.sequence, WAIT).toBe(length);
  return { a, b, c, core, settings, length };
}

/** The same, with a core that has stopped. */
export async function threeHosts({ events = 20 } = {}) {
  const { core, ...others } = await coreOfThree({ events });
  const all = await replicatedEvents(core.log);
  await core.stop();
  return { ...others, core, root: core.root, all };
}
