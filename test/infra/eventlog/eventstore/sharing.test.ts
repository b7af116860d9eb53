import { describe, expect, it } from 'vitest';
import { readAddress } from '../../../../src/infra/eventlog/eventstore/address.js';
import { EventStoreLog } from '../../../../src/infra/eventlog/eventstore/eventstore-log.js';
import { collect, idsOf, newEvents } from '../../../support/events.js';
import { quiet } from '../../../support/quiet.js';
import { Follower, idsIn, openLog, startServer } from './setup.js';

describe('logs on one server, distinguished by their stream prefixes', () => {
  it('do not see each other, and have separate ids, ends and streams', async () => {
    const server = await startServer();
    // Each prefix but the last is a prefix of another one.
    const prefixes = ['', 'mission.', 'mission.a', 'mission.a.', 'other_'];
    const logs = await Promise.all(
      prefixes.map((prefix) => openLog(prefix === '' ? server.url : `${server.url}&streamPrefix=${prefix}`)),
    );
    expect(new Set(logs.map(({ logId }) => logId)).size).toBe(prefixes.length);
    for (const log of logs) expect(await log.head()).toBe(0n);

    const followers = await Promise.all(logs.map((log) => new Follower(log).has(0)));
    const appended = logs.map(() => newEvents(6));
    const ends: bigint[] = [];
    for (const [i, log] of logs.entries()) {
      const events = appended[i] ?? [];
      await log.append('mission-1', events.slice(0, 3), 'no-stream');
      const { position } = await log.append('mission-1', events.slice(3), 2n);
      ends.push(position);
    }
    for (const [i, log] of logs.entries()) {
      const ids = idsOf(appended[i] ?? []);
      expect(await log.head()).toBe(ends[i]);
      expect(await idsIn(log)).toEqual(ids);
      expect(idsOf(await collect(log.readStream('mission-1')))).toEqual(ids);
      expect(idsOf(await collect(log.readAll({ filter: { streams: ['mission-1'] } })))).toEqual(ids);
      const follower = await followers[i]?.has(6);
      expect(follower?.ids).toEqual(ids);
      expect(new Set(follower?.events.map(({ stream }) => stream))).toEqual(new Set(['mission-1']));
    }
  });

  it('are renamed separately', async () => {
    const server = await startServer();
    const urls = [server.url, `${server.url}&streamPrefix=other.`];
    const ids = await Promise.all(urls.map(async (url) => (await openLog(url)).logId));
    const renamed = await EventStoreLog.rename(readAddress(urls[1] ?? ''), quiet);
    expect((await openLog(urls[0] ?? '')).logId).toBe(ids[0]);
    expect((await openLog(urls[1] ?? '')).logId).toBe(renamed);
  });
});

describe('logs opened concurrently on a new server', () => {
  it('agree on one id', async () => {
    for (let round = 0; round < 5; round += 1) {
      const server = await startServer();
      for (const fault of ['dropAfter', 'timeoutAfter', 'unavailable'] as const) {
        if (round > 0) server.faults.onAppend(fault, 1, { after: round });
      }
      const logs = await Promise.all(Array.from({ length: 10 }, () => openLog(server.url)));
      expect(new Set(logs.map(({ logId }) => logId)).size).toBe(1);
      expect((await openLog(server.url)).logId).toBe(logs[0]?.logId);
      expect(server.store.streams.get('sheratan-log')?.records).toHaveLength(1);
    }
  });

  it('refuse a log whose id is unreadable', async () => {
    const server = await startServer();
    server.store.seed([{ stream: 'sheratan-log', type: 'LogNamed' }]);
    await expect(EventStoreLog.open(readAddress(server.url), quiet)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringContaining("The last event of stream 'sheratan-log' has no valid log id"),
    });
  });
});
