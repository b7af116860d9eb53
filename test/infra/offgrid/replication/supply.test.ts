import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { systemClock } from '../../../../src/infra/platform/clock.js';
import { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import { ProjectedBacklog } from '../../../../src/infra/offgrid/replication/projected-backlog.js';
import { LyingHost } from '../../../support/offgrid/lying-host.js';
import { ReplicatingCore, wanted, WAIT } from '../../../support/offgrid/replicating-core.js';
import { newFolder, newHost } from '../../../support/offgrid/host.js';

/** The host is asked for its head after this silence; an event that waits for that was overlooked. */
const SILENCE_MS = 10_000;

it('an event that arrives while the last batch is in transit is shipped once that is answered', async () => {
  const host = await newHost();
  const front = await LyingHost.of(host);
  const other = await LyingHost.of(await newHost());
  const core = await ReplicatingCore.start({ hosts: wanted(front, other), required: 2 });
  await core.settles();
  // While the other is silent, this core is not elected, and nothing is acknowledged: that would wake the session.
  await core.stop();
  other.lie = 'stalled';
  const { folder, root } = core;
  const next = await ReplicatingCore.start({ folder, root, hosts: wanted(front, other), required: 2 });
  const staged = () => next.replicator.contactOf(host.identity.id)?.head?.staged?.value.sequence;
  await next.record(1);
  await expect.poll(staged, WAIT).toBe(3);

  let release: () => void = () => undefined;
  front.hold = new Promise((resolve) => (release = resolve));
  await next.record(1);
  await expect.poll(() => front.isHeld, WAIT).toBe(true);
  await next.record(1);
  await next.backlog.catchUp();
  await expect.poll(async () => (await next.known()).head, WAIT).toBe(5);
  front.hold = Promise.resolve();
  release();
  await expect.poll(staged, { timeout: SILENCE_MS / 2, interval: 20 }).toBe(5);
});

it('a core that gets its hosts late seals each event once, for both', { timeout: 240_000 }, async () => {
  // More than is kept for the next host, 8 MiB.
  const [events, characters] = [3_000, 4_000];
  const folder = await newFolder();
  const log = await EmbeddedLog.open(join(folder, 'log.db'), systemClock);
  const metadata = {
    at: new Date().toISOString(),
    actor: 'test',
    correlationId: 'c',
    causationId: 'c',
    schemaVersion: 1,
  };
  const missions = Array.from({ length: events }, (_, i) => {
    const data = { missionId: `m${i}`, title: 'early', description: 'x'.repeat(characters), metadata: {}, tags: [] };
    return { id: crypto.randomUUID(), type: 'MissionCreated', data, metadata };
  });
  for (let from = 0; from < events; from += 100) await log.append('mission-m', missions.slice(from, from + 100), 'any');
  await log.close();

  const read = vi.spyOn(ProjectedBacklog.prototype, 'events');
  const core = await ReplicatingCore.start({ folder, hosts: wanted(await newHost(), await newHost()), required: 2 });
  // A busy machine needs a while for so much.
  await expect
    .poll(async () => (await core.known()).quorum, { timeout: 150_000, interval: 100 })
    .toBeGreaterThan(events);
  const length = await core.settles();
  const lists = await Promise.all(
    read.mock.results.map(({ value }) => value as ReturnType<ProjectedBacklog['events']>),
  );
  expect(lists.reduce((sum, list) => sum + list.length, 0)).toBeLessThan(1.5 * length);
});
