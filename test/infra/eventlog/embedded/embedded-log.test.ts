import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedLog } from '../../../../src/infra/eventlog/embedded/embedded-log.js';
import { renewLogId } from '../../../../src/infra/eventlog/embedded/log-file.js';
import { Connection } from '../../../../src/infra/sqlite/connection.js';
import { collect, expectLogError, follow, idsOf, newEvent, newEvents, newStream } from '../../../support/events.js';
import { LogFolder } from '../../../support/log-folder.js';

let folder: LogFolder;

beforeEach(async () => {
  folder = await LogFolder.create();
});

afterEach(() => folder.remove());

describe('a closed log', () => {
  it('is one file that contains everything', async () => {
    const log = await folder.open();
    await log.append(newStream(), newEvents(20), 'no-stream');
    await log.close();
    expect(await readdir(folder.path)).toEqual(['log.db']);
  });

  it('has the same events, id and head however often it is reopened', async () => {
    const ids: string[] = [];
    const logIds = new Set<string>();
    for (let i = 0; i < 5; i += 1) {
      const log = await folder.open();
      expect(idsOf(await collect(log.readAll()))).toEqual(ids);
      expect(await log.head()).toBe(BigInt(ids.length));
      logIds.add(log.logId);
      const events = newEvents(3);
      await log.append('mission-1', events, i === 0 ? 'no-stream' : BigInt(ids.length - 1));
      ids.push(...idsOf(events));
      await log.close();
    }
    expect(logIds.size).toBe(1);
  });

  it('has another id than another log', async () => {
    const [one, other] = [await folder.open(), await folder.open(`${folder.file}-2`)];
    expect(one.logId).not.toBe(other.logId);
  });
});

describe('a renewed log', () => {
  it('is another log with the same events', async () => {
    const log = await folder.open();
    await log.append('mission-1', newEvents(5), 'no-stream');
    const events = await collect(log.readAll());
    await log.close();
    const logId = await renewLogId(folder.file);
    const renewed = await folder.open();
    expect(renewed.logId).toBe(logId);
    expect(logId).not.toBe(log.logId);
    expect(await collect(renewed.readAll())).toEqual(events);
    await renewed.append('mission-1', newEvents(1), 4n);
  });
});

describe('appends to many streams', () => {
  it('are all stored, or none', async () => {
    const log = await folder.open();
    const stream = newStream();
    await log.append(stream, newEvents(2), 'no-stream');
    const given = [
      { stream: newStream(), events: newEvents(3), expected: 'no-stream' as const },
      { stream, events: newEvents(1), expected: 1n },
      { stream, events: newEvents(1), expected: 2n },
    ];
    const refused = { stream, events: newEvents(1), expected: 2n };

    await expect(log.appendAll([...given, refused])).rejects.toMatchObject({ stream, expected: 2n, actual: 3n });

    expect(await log.head()).toBe(2n);
    await log.appendAll(given);
    expect(await log.head()).toBe(7n);
  });
});

describe('events of a megabyte', () => {
  it('are all read, a few at a time, with every way of reading', async () => {
    const log = await folder.open();
    const data = { text: 'x'.repeat(1_000_000) };
    const stream = newStream();
    const events = [...newEvents(9, { data }), ...newEvents(30)];
    for (const [i, event] of events.entries()) await log.append(stream, [event], i === 0 ? 'no-stream' : BigInt(i - 1));
    await log.append(newStream('task'), newEvents(3), 'no-stream');
    const all = idsOf(await collect(log.readAll()));
    expect(all.slice(0, events.length)).toEqual(idsOf(events));
    expect(all).toHaveLength(events.length + 3);
    expect(idsOf(await collect(log.readStream(stream)))).toEqual(idsOf(events));
    const backward = await collect(log.readStream(stream, { direction: 'backward' }));
    expect(idsOf(backward)).toEqual(idsOf(events).reverse());
    const filter = { categories: ['mission'] };
    expect(idsOf(await collect(log.readAll({ filter, limit: 12 })))).toEqual(idsOf(events.slice(0, 12)));
    const followed = await follow(log, { after: 0n }, ({ live }) => live);
    expect(idsOf(followed.events)).toEqual(all);
    const large = followed.batches.map((batch) => batch.events.filter((event) => 'text' in event.data));
    expect(Math.max(...large.map(({ length }) => length))).toBe(2);
  });
});

describe('positions', () => {
  it('are 1, 2, 3 … without gaps', async () => {
    const log = await folder.open();
    await Promise.all(Array.from({ length: 30 }, (_, i) => log.append(newStream(), newEvents(1 + (i % 4)), 'any')));
    const positions = (await collect(log.readAll())).map(({ position }) => position);
    expect(positions).toEqual(positions.map((_, i) => BigInt(i + 1)));
    expect(await log.head()).toBe(BigInt(positions.length));
  });
});

describe('an event', () => {
  it('is recorded at the time of the given clock', async () => {
    const now = new Date('2031-05-06T07:08:09.010Z');
    const log = await EmbeddedLog.open(folder.file, { now: () => now });
    try {
      await log.append('mission-1', [newEvent()], 'no-stream');
      expect((await collect(log.readAll()))[0]?.recordedAt).toBe(now.toISOString());
    } finally {
      await log.close();
    }
  });
});

describe('more appends than the disk can keep up with', () => {
  it('are refused beyond 10,000 waiting, and the others are stored', async () => {
    const log = await folder.open();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10_050 }, (_, i) => log.append(`job-${i}`, [newEvent({ type: 'JobCreated' })], 'no-stream')),
    );

    expect(outcomes.slice(0, 10_000).filter(({ status }) => status === 'rejected')).toEqual([]);
    for (const outcome of outcomes.slice(10_000)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'LogError', code: 'LOG_OVERLOADED' } });
    }
    expect(await log.head()).toBe(10_000n);
    expect(await log.append('job-10000', [newEvent()], 'no-stream')).toMatchObject({ position: 10_001n });
  });

  it('are refused beyond 64 MiB waiting, and the others are stored', async () => {
    const log = await folder.open();
    const data = { text: 'x'.repeat(1_000_000) };
    const outcomes = await Promise.allSettled(
      Array.from({ length: 70 }, (_, i) => log.append(`job-${i}`, [newEvent({ data })], 'no-stream')),
    );

    const landed = outcomes.findIndex(({ status }) => status === 'rejected');
    expect(landed).toBe(67);
    for (const outcome of outcomes.slice(landed)) expect(outcome).toMatchObject({ reason: { code: 'LOG_OVERLOADED' } });
    expect(await log.head()).toBe(BigInt(landed));
  });
});

describe('a file that another process has locked for writing', () => {
  it('fails an append as LOG_BUSY after some seconds; reads continue, and so do appends after the release', async () => {
    const log = await folder.open();
    await log.append('mission-1', newEvents(3), 'no-stream');
    const other = await Connection.open(folder.file, 'write');
    await other.run('BEGIN IMMEDIATE');

    const refused = expectLogError(log.append('mission-1', [newEvent()], 2n), 'LOG_BUSY');
    expect(await collect(log.readAll())).toHaveLength(3);
    await refused;
    await other.run('ROLLBACK');
    await other.close();

    expect(await log.append('mission-1', [newEvent()], 2n)).toMatchObject({ revision: 3n });
  });
});

describe('a history that a newer build wrote', () => {
  const newer = newEvent({ type: 'Unheard', etype: 99 });
  const known = newEvent({ metadata: { ...newEvent().metadata, schemaVersion: 7 } });

  it('is stored unchanged, including types and categories that this build does not know', async () => {
    const log = await folder.open();
    const stream = newStream('unheard');
    await log.appendAll([
      { stream, events: [newer], expected: 'no-stream' },
      { stream: 'mission-1', events: [known], expected: 'no-stream' },
    ]);
    await log.close();
    const stored = await collect((await folder.open()).readAll());
    expect(stored.map(({ id, type, etype, metadata }) => [id, type, etype, metadata.schemaVersion])).toEqual([
      [newer.id, 'Unheard', 99, 1],
      [known.id, 'MissionUpdated', 11, 7],
    ]);
  });

  it.each([
    ['no number', {}],
    ['the number of another type', { etype: 10 }],
    ['a number that no type has', { etype: 9 }],
    ['a number beyond all', { etype: 65_536 }],
  ])('is refused where a type has %s', async (_what, given) => {
    const log = await folder.open();
    const { etype: _, ...event } = newer;
    const appending = log.appendAll([{ stream: 'mission-1', events: [{ ...event, ...given }], expected: 'any' }]);
    await expectLogError(appending, 'EVENT_INVALID');
  });

  it('is not accepted by an append, which takes only types and categories of the catalogue', async () => {
    const log = await folder.open();
    await expectLogError(log.append('mission-1', [newer], 'any'), 'EVENT_INVALID');
    await expectLogError(log.append('unheard-1', [newEvent()], 'any'), 'EVENT_INVALID');
  });
});
