import { describe, expect, it } from 'vitest';
import { tombstone, truncate } from '../../../support/eventstore/operator.js';
import { collect, idsOf, newEvent, newEvents, newStream } from '../../../support/events.js';
import { Follower, idsIn, positionsIn, seed, seedForeign, start } from './setup.js';

/** Before 23.10 a server does not report when a subscription has caught up. */
const VERSIONS = ['22.10.0', '23.10.0', '24.10.0'];

describe.each(VERSIONS)('a %s server', (serverVersion) => {
  it('is read to the end with filters that no event matches', async () => {
    const { server, log } = await start({ serverVersion });
    seed(server, 500, ['mission-1', 'task-1']);
    await log.append('job-1', [newEvent()], 'no-stream');
    for (const foreign of [0, 7, 3_000]) {
      seedForeign(server, foreign);
      for (const filter of [
        { categories: ['wallet'] },
        { streams: ['mission-2'] },
        { types: ['MissionClosed'] },
        { categories: ['mission'], types: ['JobFailed'] },
        { categories: [] },
      ]) {
        expect(await collect(log.readAll({ filter }))).toEqual([]);
        const follower = await new Follower(log, { filter }).has(0);
        expect(follower.batches.at(-1)).toEqual({ events: [], through: await log.head(), live: true });
      }
      expect(await collect(log.readAll({ filter: { streams: ['task-1'] } }))).toHaveLength(250);
    }
  });

  it('is read to an end that is a tombstone or a truncated stream', async () => {
    const { server, log } = await start({ serverVersion });
    seed(server, 100, ['mission-1', 'task-1']);
    truncate(server, 'task-1', 40);
    await log.append('job-1', [newEvent()], 'no-stream');
    tombstone(server, 'job-1');
    const filter = { categories: ['wallet'] };
    expect(await collect(log.readAll({ filter }))).toEqual([]);
    await new Follower(log, { filter }).has(0);
    server.store.scavenge();
    expect(await collect(log.readAll({ filter }))).toEqual([]);
    await new Follower(log, { filter }).has(0);
  });

  it('is followed, from existing into new events', async () => {
    const { server, log } = await start({ serverVersion });
    const { position } = await log.append(newStream(), newEvents(200), 'no-stream');
    const all = await new Follower(log).has(200);
    const some = await new Follower(log, { filter: { categories: ['task'] } }).has(0);
    const later = await new Follower(log, { after: position }).has(0);
    const events = newEvents(60);
    for (const [i, event] of events.entries()) {
      await log.append(i % 3 === 0 ? 'task-1' : newStream(), [event], 'any');
      if (i % 20 === 5) server.endSubscriptions();
      if (i % 20 === 15) seedForeign(server, 200);
    }
    await all.has(260);
    await some.has(20);
    await later.has(60);
    expect(all.ids).toEqual(await idsIn(log));
    expect(some.ids).toEqual(idsOf(events.filter((_, i) => i % 3 === 0)));
    expect(later.ids).toEqual(idsOf(events));
    expect(await log.head()).toBe(positionsIn(server).at(-1));
  });
});
