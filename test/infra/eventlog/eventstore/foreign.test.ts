import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Projector } from '../../../../src/infra/projector/projector.js';
import { outbox } from '../../../../src/projections/outbox.js';
import { tombstone, truncate } from '../../../support/eventstore/operator.js';
import { collect, idsOf, newEvent, newEvents, newMetadata, newStream } from '../../../support/events.js';
import { LogFolder } from '../../../support/log-folder.js';
import { quiet } from '../../../support/quiet.js';
import { count, Follower, idsIn, openLog, positionsIn, seed, seedForeign, start, startServer } from './setup.js';

describe('records of other applications', () => {
  it('are ignored, wherever they are', async () => {
    const { server, log } = await start({ noise: 2 });
    const follower = await new Follower(log).has(0);
    const expected: string[] = [];
    for (let i = 0; i < 40; i += 1) {
      const events = newEvents(2);
      const { position } = await log.append(`mission-${i % 3}`, events, 'any');
      expected.push(...idsOf(events));
      // Of no category of ours, of no type of ours, and of the server's own.
      seedForeign(server, 3, 'other-1');
      server.store.seed([
        { stream: 'mission-0', id: randomUUID(), type: 'SomethingElse', isJson: false, data: Buffer.from([1, 2]) },
        { stream: 'missions', id: randomUUID(), type: 'MissionUpdated' },
        { stream: 'other-mission-1', id: randomUUID(), type: 'MissionUpdated' },
        { stream: '$persistentsubscription-mission-1', id: randomUUID(), type: 'MissionUpdated' },
      ]);
      expect(await log.head()).toBe(position);
    }
    expect(await idsIn(log)).toEqual(expected);
    await follower.has(expected.length);
    expect(follower.ids).toEqual(expected);
    expect(follower.batches.at(-1)?.through).toBe(await log.head());
  });

  it('are distinguished from events of a newer build, which halt a projection that cannot number them', async () => {
    const { server, log } = await start();
    await log.append('mission-1', newEvents(2), 'no-stream');
    const { correlationId: $correlationId, causationId: $causationId, ...others } = newMetadata();
    const metadata = Buffer.from(JSON.stringify({ ...others, $correlationId, $causationId }));
    const newer = { stream: 'mission-1', id: randomUUID(), type: 'MissionPaused', data: Buffer.from('{}'), metadata };
    server.store.seed([newer, { ...newer, id: randomUUID(), type: '$MissionPaused' }]);
    await log.append('mission-2', newEvents(1), 'no-stream');
    const stored = await collect(log.readAll());
    expect(stored.map(({ type }) => type)).toEqual([
      'MissionUpdated',
      'MissionUpdated',
      'MissionPaused',
      'MissionUpdated',
    ]);
    const folder = await LogFolder.create();
    onTestFinished(() => folder.remove());
    const projector = await Projector.open(join(folder.path, 'outbox.db'), outbox, log, quiet);
    onTestFinished(() => projector.stop());
    await projector.start();
    await expect
      .poll(() => projector.status())
      .toMatchObject({ state: 'HALTED', error: { code: 'NEWER_EVENT', type: 'MissionPaused' } });
  });

  it("occupy revisions in a stream of the log's", async () => {
    const { server, log } = await start();
    await log.append('mission-1', newEvents(2), 'no-stream');
    server.store.seed([{ stream: 'mission-1', id: randomUUID(), type: 'SomethingElse' }]);
    await expect(log.append('mission-1', [newEvent()], 1n)).rejects.toMatchObject({ actual: 2n });
    await log.append('mission-1', [newEvent()], 2n);
    const stored = await collect(log.readStream('mission-1'));
    expect(stored.map(({ revision }) => revision)).toEqual([0n, 1n, 3n]);
  });

  it.each([
    ['binary data', { isJson: false, data: Buffer.from([0xff, 0]), metadata: Buffer.from('{}') }],
    ['data that is no JSON', { isJson: true, data: Buffer.from('{"title":'), metadata: Buffer.from('{}') }],
    ['data that is a list', { isJson: true, data: Buffer.from('[]'), metadata: Buffer.from('{}') }],
    ['data that is null', { isJson: true, data: Buffer.from('null'), metadata: Buffer.from('{}') }],
    ['no metadata', { isJson: true, data: Buffer.from('{}'), metadata: Buffer.from('') }],
    ['metadata that is no JSON', { isJson: true, data: Buffer.from('{}'), metadata: Buffer.from([0xff]) }],
  ])('that look like events of the log and have %s are an error that names the place', async (_, bad) => {
    const { server, log } = await start();
    await log.append('mission-1', newEvents(3), 'no-stream');
    const follower = await new Follower(log).has(3);
    server.store.seed([{ stream: 'mission-1', id: randomUUID(), type: 'MissionUpdated', ...bad }]);
    const position = server.store.events.findLast(({ stream }) => stream === 'mission-1')?.position;
    const corrupt = {
      name: 'LogError',
      code: 'LOG_CORRUPT',
      message: `The data or metadata of the event at position ${position} (stream 'mission-1') is not a JSON object: Sheratan did not write it.`,
    };
    await expect(collect(log.readStream('mission-1'))).rejects.toMatchObject(corrupt);
    await expect(collect(log.readAll())).rejects.toMatchObject(corrupt);
    await follower.until('end', () => follower.isOver);
    expect(follower.error).toMatchObject(corrupt);
    expect(follower.events).toHaveLength(3);
    // The events before it can be read, and the log still accepts appends.
    expect(await collect(log.readAll({ limit: 3 }))).toHaveLength(3);
    await log.append('mission-2', [newEvent()], 'no-stream');
    expect(await collect(log.readStream('mission-2'))).toHaveLength(1);
  });
});

describe('the end of a log', () => {
  it('is found again by one read, however many records of others follow it', async () => {
    const { server, log } = await start();
    const { position } = await log.append('mission-1', newEvents(3), 'no-stream');
    const counted = count(server);
    seedForeign(server, 50_000);
    expect(await log.head()).toBe(position);
    expect(counted.reads).toBe(2);

    counted.reads = 0;
    counted.records = 0;
    for (let i = 0; i < 10; i += 1) {
      seedForeign(server, 5);
      expect(await log.head()).toBe(position);
    }
    expect(counted.reads).toBe(10);
    expect(counted.records).toBeLessThan(200);
    await Promise.all(Array.from({ length: 100 }, () => log.head()));
    expect(counted.reads).toBeLessThanOrEqual(12);
  });

  it('is found immediately in a new log on a server that others use', async () => {
    const server = await startServer();
    seedForeign(server, 50_000);
    const counted = count(server);
    const log = await openLog(server.url);
    expect(await log.head()).toBe(0n);
    expect(await idsIn(log)).toEqual([]);
    await new Follower(log).has(0);
    const again = await openLog(server.url);
    expect(await again.head()).toBe(0n);
    expect(counted.reads).toBeLessThan(20);
    expect(counted.records).toBeLessThan(200);
  });

  it("is at the last event of the log's, although its stream was tombstoned", async () => {
    const { server, log } = await start();
    const { position } = await log.append('mission-1', newEvents(3), 'no-stream');
    tombstone(server, 'mission-1');
    const head = await log.head();
    expect(head).toBeGreaterThan(position);
    seedForeign(server, 40);
    expect(await log.head()).toBe(head);
    expect((await new Follower(log).has(0)).batches.at(-1)?.through).toBe(head);
  });
});

describe('a removal by an operator or a scavenge', () => {
  it('does not hide the remaining events from any reader', async () => {
    const { server, log } = await start();
    seed(server, 600, ['mission-1', 'mission-2', 'task-1']);
    const all = positionsIn(server);
    truncate(server, 'mission-1', 150);
    tombstone(server, 'mission-2');
    const head = await log.head();
    const before = await new Follower(log).has(600);

    server.store.scavenge();
    const left = positionsIn(server);
    expect(left).toHaveLength(50 + 200);
    expect(await log.head()).toBe(head);
    const after = await new Follower(log).has(left.length);
    expect(after.events.map(({ position }) => position)).toEqual(left);
    // Readers that continue after a removed event.
    for (const position of [all[0], all[1], all[7], all[299], all[598]]) {
      const rest = await collect(log.readAll({ after: position ?? 0n }));
      expect(rest.map((event) => event.position)).toEqual(left.filter((p) => p > (position ?? 0n)));
    }
    const events = newEvents(3);
    await log.append('task-1', events, 199n);
    await before.has(603);
    await after.has(left.length + 3);
    expect(after.ids.slice(-3)).toEqual(idsOf(events));
  });
});

describe('a place between events', () => {
  it('is a valid position to read after', async () => {
    const { server, log } = await start();
    seed(server, 300, ['mission-1']);
    seedForeign(server, 100);
    await log.append(newStream(), [newEvent()], 'any');
    const all = [...positionsIn(server)];
    for (const [i, offset] of [
      [0, -1n],
      [0, 1n],
      [100, 1n],
      [250, -5n],
      [299, 1n],
      [299, 40n],
    ] as const) {
      const place = (all[i] ?? 0n) + offset;
      const rest = await collect(log.readAll({ after: place }));
      expect(rest.map(({ position }) => position)).toEqual(all.filter((position) => position > place));
    }
  });
});
