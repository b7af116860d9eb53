import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ProjectedBacklog } from '../../../../src/infra/offgrid/replication/projected-backlog.js';
import { Projector } from '../../../../src/infra/projector/projector.js';
import { outbox } from '../../../../src/projections/outbox.js';
import { tombstone, truncate } from '../../../support/eventstore/operator.js';
import { collect, follow, idsOf, newEvent, newEvents, newMetadata } from '../../../support/events.js';
import { LogFolder } from '../../../support/log-folder.js';
import { TestNode } from '../../../support/node.js';
import { quiet } from '../../../support/quiet.js';
import { count, openLog, positionsIn, seed, seedForeign, start, startServer } from './setup.js';

const VERSIONS = ['24.10.14', '23.10.8'];

describe.each(VERSIONS)('a position on a %s server', (serverVersion) => {
  it('is refused where no record begins, by one read and on the same connection', async () => {
    const { server, log } = await start({ serverVersion });
    seed(server, 40, ['mission-1']);
    seedForeign(server, 2_000);
    seed(server, 40, ['mission-1']);
    await log.head();
    const counted = count(server);
    const { accepted } = server;
    for (const position of positionsIn(server)) {
      counted.reads = 0;
      expect(await log.hasPosition(position)).toBe(true);
      expect(await log.hasPosition(position + 1n)).toBe(false);
      expect(counted.reads).toBe(2);
    }
    expect(counted.records).toBe(80);
    expect(server.accepted).toBe(accepted);
  });

  it('is accepted when it was that of an event or of a batch, also after a scavenge', async () => {
    const { server, log } = await start({ serverVersion });
    for (let i = 0; i < 20; i += 1) {
      seed(server, 30, ['mission-1', 'mission-2', 'task-1']);
      seedForeign(server, 45);
    }
    const given = new Set(positionsIn(server));
    const filter = { categories: ['task'] };
    const { batches } = await follow(log, { after: 0n, filter, batchSize: 7 }, ({ live }) => live);
    for (const { through } of batches) given.add(through);
    for (const position of given) expect(await log.hasPosition(position)).toBe(true);

    truncate(server, 'mission-1', 150);
    tombstone(server, 'mission-2');
    server.store.scavenge();
    const left = positionsIn(server);
    for (const position of given) {
      expect(await log.hasPosition(position)).toBe(true);
      const [next] = await collect(log.readAll({ after: position, limit: 1 }));
      expect(next?.position).toBe(left.find((p) => p > position));
    }
  });

  it('at which a projection has halted or the outbox reads is that of a record', async () => {
    const { server, log } = await start({ serverVersion });
    await log.append('mission-1', newEvents(3), 'no-stream');
    seedForeign(server, 20);
    const folder = await LogFolder.create();
    onTestFinished(() => folder.remove());
    const outboxOf = async () => {
      const projector = await Projector.open(join(folder.path, 'outbox.db'), outbox, log, quiet);
      await projector.start();
      return projector;
    };
    const first = await outboxOf();
    expect(await first.reaches(await log.head(), 10_000)).toBe(true);
    const backlog = new ProjectedBacklog(first, log);
    for (const after of [0, 1, 2]) expect(await backlog.events(after, 10)).toHaveLength(3 - after);

    await log.append(
      'mission-1',
      [newEvent({ type: 'MissionUpdated', metadata: { ...newMetadata(), schemaVersion: 99 } })],
      2n,
    );
    const isHalted = { state: 'HALTED', error: { code: 'NEWER_EVENT' } };
    await expect.poll(() => first.status()).toMatchObject(isHalted);
    await first.stop();
    const again = await outboxOf();
    onTestFinished(() => again.stop());
    await expect.poll(() => again.status()).toMatchObject(isHalted);
    expect(server.invalidPositions).toBe(0);
  });

  it('that a client has made up is refused at once, and costs others nothing', async () => {
    const server = await startServer({ serverVersion });
    const node = await TestNode.start({ SHERATAN_EVENTSTORE_URL: server.url });
    onTestFinished(() => node.stop());
    await node.mutate('createMission', { title: 'One' });
    seedForeign(server, 10_000);
    const { position: last } = await node.mutate('createMission', { title: 'Two' });
    const [logId = ''] = last.split(':');
    const places = [10, 5_000, 9_000].map((i) => (server.store.events[i]?.position ?? 0n) + 1n);
    const { log } = await node.gql('{ log { id head serverVersion } }');
    expect(log).toEqual({ id: logId, head: last, serverVersion });
    const { accepted } = server;
    const counted = count(server);
    for (const madeUp of places) {
      const after = `${logId}:${madeUp}`;
      const refused = { extensions: { code: 'POSITION_UNKNOWN' }, message: expect.stringContaining(after) };
      const query = 'query ($after: Position) { events(after: $after) { edges { cursor } } }';
      const { body } = await node.ask(query, { after });
      expect(body.errors).toEqual([expect.objectContaining(refused)]);
    }
    expect(counted.records).toBeLessThan(50);
    expect(server.accepted).toBe(accepted);
  });
});

describe('a log that other applications write to as well', () => {
  it('is opened and read without their records, however many there are', async () => {
    const server = await startServer();
    const log = await openLog(server.url);
    const events = newEvents(3);
    await log.append('mission-1', events, 'no-stream');
    seedForeign(server, 30_000);
    const counted = count(server);
    const again = await openLog(server.url);
    expect(idsOf(await collect(again.readAll()))).toEqual(idsOf(events));
    seedForeign(server, 30_000);
    expect(idsOf(await collect(again.readAll()))).toEqual(idsOf(events));
    expect(counted.records).toBeLessThan(60);
  });
});
